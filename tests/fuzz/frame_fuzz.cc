// link: protocol
// Frames from a peer or a damaged store: never a crash, and what is accepted decodes to what its directory says.
#include <cstdlib>

#include "protocol/checksum.h"
#include "protocol/error.h"
#include "protocol/frame.h"

namespace {

using namespace vmferry;

void try_frame(ByteView bytes) {
  static FrameDecoder decoder;
  try {
    frame_length(bytes);
    const FrameView frame = parse_frame(bytes);
    if (decoder.decode(frame).size() != frame.content_bytes) std::abort();
    decoder.decode_verified(frame, DomainKey{}, [](const ChunkId&, ByteView) {});
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes = std::as_bytes(std::span(data, size));
  try_frame(bytes);
  // Once more with the checksum made right, to reach what is behind it.
  ByteWriter whole;
  whole.bytes(bytes);
  whole.u64(checksum64(bytes));
  try_frame(whole.view());
  return 0;
}
