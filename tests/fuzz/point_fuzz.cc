// link: protocol
// Restore points of a hostile peer or a damaged store, and their names from a command line: never a crash, and a point
// that is accepted can be written again as the same point.
#include <cstdlib>

#include "protocol/checksum.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/point.h"

namespace {

using namespace vmferry;

void try_point(ByteView bytes) {
  try {
    const RestorePoint point = decode_point(bytes);
    summarize(point);
    if (decode_point(encode_point(point)) != point) std::abort();
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input = std::as_bytes(std::span(data, size));
  try_point(input);
  ByteWriter whole;
  whole.bytes(as_bytes("VFP1"));
  whole.u32(1);
  whole.u32(static_cast<std::uint32_t>(size));
  whole.bytes(input);
  whole.u64(checksum64(whole.view()));
  try_point(whole.view());
  try {
    parse_point_name(as_text(input));
  } catch (const Error&) {
  }
  return 0;
}
