#include "protocol/link/refuse.h"

#include <array>

#include "protocol/link/records.h"

namespace vmferry::link {

void refuse(Transport& line, const Error& why) {
  Bytes bytes;
  put_refuse(bytes, why.code(), why.what());
  const std::array<ByteView, 1> parts = {bytes};
  line.send(parts);
  line.finish_sending();
  Bytes dropped(control_bytes_max);
  while (line.receive(dropped) > 0) {
  }
}

}  // namespace vmferry::link
