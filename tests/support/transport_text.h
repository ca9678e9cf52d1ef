// Text over a transport.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "protocol/transport/transport.h"

namespace vmferry::test {

inline void send(Transport& transport, std::string_view text) {
  const std::array<ByteView, 1> parts = {as_bytes(text)};
  transport.send(parts);
}

// Less where the other side ends before.
inline std::string receive(Transport& transport, std::size_t count) {
  std::string text(count, '\0');
  std::size_t have = 0;
  while (have < count) {
    const std::size_t more = transport.receive(std::as_writable_bytes(std::span(text)).subspan(have));
    if (more == 0) break;
    have += more;
  }
  text.resize(have);
  return text;
}

inline std::string receive_all(Transport& transport) {
  std::string text;
  Bytes into(256 * 1024);
  while (const std::size_t count = transport.receive(into)) text += as_text(ByteView(into).first(count));
  return text;
}

}  // namespace vmferry::test
