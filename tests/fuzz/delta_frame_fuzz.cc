// link: protocol
// Delta frames from a peer: never a crash, never more memory than the limits, and what is accepted rebuilds as much
// as it says. The first byte says how the input is taken: a frame as it is, with its checksum made right, or operations
// in a frame of ours: alone, with the literals that they want (then the content must come out right), or with any
// zstd frame in the literals' place.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "protocol/checksum.h"
#include "protocol/compression.h"
#include "protocol/delta/context.h"
#include "protocol/delta/delta_frame.h"
#include "protocol/delta/operations.h"
#include "protocol/error.h"

namespace {

using namespace vmferry;
using namespace vmferry::delta;

Bytes basis_of(std::uint32_t length) {
  Bytes basis(length);
  for (std::size_t i = 0; i < basis.size(); ++i) basis[i] = static_cast<std::byte>(i * i >> 3 & 0xff);
  return basis;
}

// The content that came of it; empty where it was refused.
ByteView try_frame(ByteView bytes) {
  static DeltaPatcher patcher;
  try {
    const DeltaFrameView frame = parse_delta_frame(bytes);
    const ByteView content = patcher.rebuild(frame, basis_of(frame.basis_bytes));
    if (content.size() != frame.content_bytes) std::abort();
    return content;
  } catch (const Error&) {
    return {};
  }
}

Bytes with_checksum(ByteView bytes) {
  ByteWriter whole;
  whole.bytes(bytes);
  whole.u64(checksum64(bytes));
  return std::move(whole).take();
}

Bytes packed(ByteView plain, ByteView prefix = {}) {
  static Compressor zstd(1);
  Bytes out(plain.size() + 1024);
  out.resize(zstd.compress(plain, out, prefix).value());
  return out;
}

Bytes frame_around(ByteView payload, std::uint32_t content_bytes, std::uint32_t basis_bytes) {
  ByteWriter out;
  out.bytes(as_bytes("VFD1"));
  out.u8(1);
  out.u8(0);
  out.u16(1);
  out.u16(1);
  out.u16(0);
  out.u32(content_bytes);
  out.u32(static_cast<std::uint32_t>(payload.size()));
  out.bytes(Bytes(32));
  out.u32(content_bytes);
  out.bytes(Bytes(32));
  out.u32(basis_bytes);
  out.bytes(payload);
  return with_checksum(out.view());
}

// What the input's operations say, with the literals that they want, compressed as a sender does.
void try_whole(ByteView input, std::uint32_t content_bytes, std::uint32_t basis_bytes) {
  ByteReader in(input);
  std::vector<Copy> copies;
  try {
    decode_operations(in, content_bytes, basis_bytes, copies);
  } catch (const Error&) {
    return;
  }
  const ByteView operations = input.first(input.size() - in.rest().size());
  const Bytes basis = basis_of(basis_bytes);
  Bytes content(content_bytes);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = input[i % input.size()];
  Bytes literals;
  std::size_t done = 0;
  const auto add_literal = [&](std::size_t end) {
    const ByteView literal = ByteView(content).subspan(done, end - done);
    literals.insert(literals.end(), literal.begin(), literal.end());
  };
  for (const Copy& copy : copies) {
    add_literal(copy.at);
    std::ranges::copy(ByteView(basis).subspan(copy.from, copy.length), content.begin() + copy.at);
    done = std::size_t{copy.at} + copy.length;
  }
  add_literal(content.size());
  Bytes context;
  context_of_content(content, copies, context);
  Bytes payload = packed(operations);
  if (!literals.empty()) {
    const Bytes second = packed(literals, context);
    payload.insert(payload.end(), second.begin(), second.end());
  }
  const ByteView rebuilt = try_frame(frame_around(payload, content_bytes, basis_bytes));
  if (operations.size() <= operations_bytes_max(content_bytes) && !std::ranges::equal(rebuilt, content)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 5) return 0;
  const ByteView bytes = std::as_bytes(std::span(data, size));
  const ByteView rest = bytes.subspan(5);
  const std::uint32_t content_bytes = 1 + (data[1] | std::uint32_t{data[2]} << 8);
  const std::uint32_t basis_bytes = 1 + (data[3] | std::uint32_t{data[4]} << 8);
  switch (data[0] % 5) {
    case 0: try_frame(rest); break;
    case 1: try_frame(with_checksum(rest)); break;
    case 2: try_frame(frame_around(packed(rest), content_bytes, basis_bytes)); break;
    case 3: try_whole(rest, content_bytes, basis_bytes); break;
    default: {
      // Copies of three single bytes, far apart, and whatever the input calls their literals.
      const std::vector<Copy> copies = {{1, 0, 1}, {100, 40, 1}, {200, 9, 1}};
      Bytes payload = packed(encode_operations(copies));
      payload.insert(payload.end(), rest.begin(), rest.end());
      try_frame(frame_around(payload, 201 + content_bytes, 41 + basis_bytes));
    }
  }
  return 0;
}
