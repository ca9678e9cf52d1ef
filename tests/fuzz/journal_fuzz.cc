// link: target_server
// The scan of an open pack after a crash: any bytes; what it calls a frame must parse, in order and in bounds.
#include <algorithm>
#include <cstdlib>

#include "target-server/store/pack_format.h"

using namespace vmferry;
using namespace vmferry::store;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes = std::as_bytes(std::span(data, size));
  const ReadAt read = [&](std::uint64_t offset, std::span<std::byte> into) -> std::size_t {
    if (offset >= bytes.size()) return 0;
    const std::size_t count = std::min(into.size(), bytes.size() - static_cast<std::size_t>(offset));
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), count, into.begin());
    return count;
  };
  std::uint64_t end = 0;
  const UseFrame check = [&](const ScannedFrame& frame) {
    if (frame.offset < end || !range_fits(frame.offset, frame.length, size)) std::abort();
    if (parse_frame(bytes.subspan(static_cast<std::size_t>(frame.offset), frame.length)).chunks.size() !=
        frame.chunks.size())
      std::abort();
    end = frame.offset + frame.length;
  };
  const ScanResult result = scan_frames(read, 0, size, DomainKey{}, check);
  if (result.end > size || result.end < end) std::abort();
  walk_frames(read, 0, size, [](const ScannedFrame&) {});
  return 0;
}
