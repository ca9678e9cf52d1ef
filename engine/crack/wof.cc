#include "engine/crack/wof.h"

#include <wimlib.h>

#include <algorithm>
#include <memory>

#include "engine/crack/ntfs/little_endian.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

constexpr std::uint32_t wof_version = 1;
constexpr std::uint32_t provider_wim = 1, provider_file = 2;
constexpr std::size_t offsets_per_read = 8192;

void require_stream(bool holds, const char* why) {
  if (!holds) throw Error(ErrorCode::malformed, "cannot decompress a file", {}, why);
}

std::size_t chunk_bytes(WofAlgorithm algorithm) {
  switch (algorithm) {
    case WofAlgorithm::xpress4k: return 4096;
    case WofAlgorithm::xpress8k: return 8192;
    case WofAlgorithm::xpress16k: return 16384;
    case WofAlgorithm::lzx: return 32768;
  }
  return 0;
}

using Decompressor = std::unique_ptr<wimlib_decompressor, decltype(&wimlib_free_decompressor)>;

Decompressor make_decompressor(WofAlgorithm algorithm) {
  wimlib_decompressor* raw = nullptr;
  const auto type = algorithm == WofAlgorithm::lzx ? WIMLIB_COMPRESSION_TYPE_LZX : WIMLIB_COMPRESSION_TYPE_XPRESS;
  if (wimlib_create_decompressor(type, chunk_bytes(algorithm), &raw) != 0) throw std::bad_alloc();
  return {raw, &wimlib_free_decompressor};
}

// The table before the chunks: where each but the first begins, counted from the table's end.
class ChunkTable {
 public:
  ChunkTable(std::uint64_t chunks, std::uint64_t content_bytes, std::uint64_t stored_bytes,
             const std::function<void(std::uint64_t offset, std::span<std::byte> into)>& read_stored)
      : chunks_(chunks), entry_bytes_(content_bytes > 0xffffffffULL ? 8 : 4),
        table_bytes_((chunks - 1) * entry_bytes_), stored_bytes_(stored_bytes), read_stored_(read_stored) {
    require_stream(table_bytes_ <= stored_bytes, "its table of chunks is cut off");
  }

  std::uint64_t begin_of(std::uint64_t chunk) {
    if (chunk == chunks_) return stored_bytes_;
    const std::uint64_t relative = chunk == 0 ? 0 : entry(chunk - 1);
    require_stream(relative <= stored_bytes_ - table_bytes_, "a chunk lies outside its stream");
    return table_bytes_ + relative;
  }

 private:
  std::uint64_t entry(std::uint64_t index) {
    const std::uint64_t window = index / offsets_per_read * offsets_per_read;
    if (window != window_at_) {
      const std::uint64_t count = std::min<std::uint64_t>(offsets_per_read, chunks_ - 1 - window);
      window_.resize(static_cast<std::size_t>(count * entry_bytes_));
      read_stored_(window * entry_bytes_, window_);
      window_at_ = window;
    }
    const std::size_t at = static_cast<std::size_t>((index - window) * entry_bytes_);
    return entry_bytes_ == 8 ? le64(window_, at) : le32(window_, at);
  }

  std::uint64_t chunks_;
  std::uint64_t entry_bytes_;
  std::uint64_t table_bytes_;
  std::uint64_t stored_bytes_;
  const std::function<void(std::uint64_t offset, std::span<std::byte> into)>& read_stored_;
  Bytes window_;
  std::uint64_t window_at_ = ~std::uint64_t{0};
};

}  // namespace

std::optional<WofAlgorithm> wof_algorithm(ByteView reparse_data, std::string& why) {
  if (reparse_data.size() < 8 || le32(reparse_data, 0) != wof_version) {
    why = "compressed by Windows in a way that is not known";
    return std::nullopt;
  }
  const std::uint32_t provider = le32(reparse_data, 4);
  if (provider == provider_wim) {
    why = "its content lies in a WIM file elsewhere (WIMBoot)";
    return std::nullopt;
  }
  if (provider != provider_file || reparse_data.size() < 16 || le32(reparse_data, 8) != 1 || le32(reparse_data, 12) > 3) {
    why = "compressed by Windows in a way that is not known";
    return std::nullopt;
  }
  return static_cast<WofAlgorithm>(le32(reparse_data, 12));
}

void decompress_wof(WofAlgorithm algorithm, std::uint64_t stored_bytes, std::uint64_t content_bytes,
                    const std::function<void(std::uint64_t offset, std::span<std::byte> into)>& read_stored,
                    const std::function<void(std::uint64_t offset, ByteView content)>& use) {
  if (content_bytes == 0) return;
  const std::size_t chunk_size = chunk_bytes(algorithm);
  const std::uint64_t chunks = (content_bytes - 1) / chunk_size + 1;
  ChunkTable table(chunks, content_bytes, stored_bytes, read_stored);
  const Decompressor decompressor = make_decompressor(algorithm);
  Bytes stored(chunk_size), content(chunk_size);
  std::uint64_t begin = table.begin_of(0);
  for (std::uint64_t i = 0; i < chunks; ++i) {
    const std::uint64_t end = table.begin_of(i + 1);
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(chunk_size, content_bytes - i * chunk_size));
    require_stream(end >= begin && end - begin > 0 && end - begin <= wanted, "a chunk's length makes no sense");
    const std::span<std::byte> part(stored.data(), static_cast<std::size_t>(end - begin));
    read_stored(begin, part);
    if (part.size() == wanted) {  // it did not get smaller, and is stored as it was
      use(i * chunk_size, part);
    } else {
      require_stream(wimlib_decompress(part.data(), part.size(), content.data(), wanted, decompressor.get()) == 0,
                     "a chunk is damaged");
      use(i * chunk_size, ByteView(content).first(wanted));
    }
    begin = end;
  }
}

}  // namespace vmferry::crack
