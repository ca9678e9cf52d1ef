// link: protocol
// Delta frames from a peer: never a crash, never more memory than the limits, and what is accepted rebuilds as much
// as it says. The first byte says how the input is taken: a frame as it is, with its checksum made right, or a
// payload of ours around it.
#include <algorithm>
#include <cstdlib>

#include "protocol/checksum.h"
#include "protocol/compression.h"
#include "protocol/delta/delta_frame.h"
#include "protocol/error.h"

namespace {

using namespace vmferry;
using namespace vmferry::delta;

void try_frame(ByteView bytes) {
  static DeltaPatcher patcher;
  try {
    const DeltaFrameView frame = parse_delta_frame(bytes);
    Bytes basis(frame.basis_bytes);
    for (std::size_t i = 0; i < basis.size(); ++i) basis[i] = bytes[i % bytes.size()];
    if (patcher.rebuild(frame, basis).size() != frame.content_bytes) std::abort();
  } catch (const Error&) {
  }
}

Bytes with_checksum(ByteView bytes) {
  ByteWriter whole;
  whole.bytes(bytes);
  whole.u64(checksum64(bytes));
  return std::move(whole).take();
}

// Operations and literals as the input says, in a frame that is right around them.
Bytes frame_around(ByteView operations, std::uint32_t content_bytes, std::uint32_t basis_bytes) {
  static Compressor zstd(1);
  Bytes packed(operations.size() + 1024);
  packed.resize(zstd.compress(operations, packed).value());
  ByteWriter out;
  out.bytes(as_bytes("VFD1"));
  out.u8(1);
  out.u8(0);
  out.u16(1);
  out.u16(1);
  out.u16(0);
  out.u32(content_bytes);
  out.u32(static_cast<std::uint32_t>(packed.size()));
  out.bytes(Bytes(32));
  out.u32(content_bytes);
  out.bytes(Bytes(32));
  out.u32(basis_bytes);
  out.bytes(packed);
  return with_checksum(out.view());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 5) return 0;
  const ByteView bytes = std::as_bytes(std::span(data, size));
  const ByteView rest = bytes.subspan(5);
  switch (data[0] % 3) {
    case 0: try_frame(rest); break;
    case 1: try_frame(with_checksum(rest)); break;
    default: {
      const std::uint32_t content_bytes = 1 + (data[1] | std::uint32_t{data[2]} << 8);
      const std::uint32_t basis_bytes = data[3] | std::uint32_t{data[4]} << 8;
      try_frame(frame_around(rest, content_bytes, basis_bytes));
    }
  }
  return 0;
}
