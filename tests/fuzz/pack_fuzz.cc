// link: target_server
// A pack's header and trailer, as a damaged or hostile disk may have them.
#include <algorithm>
#include <cstdlib>

#include "protocol/error.h"
#include "target-server/store/pack_format.h"

using namespace vmferry;
using namespace vmferry::store;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes = std::as_bytes(std::span(data, size));
  try {
    const PackHeader header = decode_pack_header(bytes);
    const Bytes again = encode_pack_header(header);
    if (!std::equal(again.begin(), again.end(), bytes.begin())) std::abort();
  } catch (const Error&) {
  }
  const ReadAt read = [&](std::uint64_t offset, std::span<std::byte> into) -> std::size_t {
    if (offset >= bytes.size()) return 0;
    const std::size_t count = std::min(into.size(), bytes.size() - static_cast<std::size_t>(offset));
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), count, into.begin());
    return count;
  };
  Uuid pack;
  if (size >= 16) pack = Uuid::from_bytes(bytes.first(16));
  try {
    const PackTrailer trailer = read_pack_trailer(read, size, pack);
    const Bytes again = encode_pack_trailer(pack, trailer.frames_end, trailer.chunks);
    if (!std::equal(again.begin(), again.end(), bytes.end() - static_cast<std::ptrdiff_t>(again.size()))) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
