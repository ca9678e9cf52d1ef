#include <algorithm>
#include <cstring>

#include "protocol/error.h"
#include "target-server/store/pack_format.h"

namespace vmferry::store {
namespace {

constexpr std::string_view frame_magic = "VFF1";
constexpr std::size_t window_bytes = 2 * pack_frame_bytes_max;
constexpr std::size_t directory_entry_bytes = 36;
// What the search after bad bytes may check in vain: somebody's data may be full of what looks like frames.
constexpr std::uint64_t search_bytes_max = 1ULL << 30;

// A sliding view of the file: at() gives up to pack_frame_bytes_max bytes from an offset.
class Window {
 public:
  Window(const ReadAt& read, std::uint64_t size) : read_(read), size_(size) {}

  ByteView at(std::uint64_t offset) {
    const std::uint64_t want = std::min<std::uint64_t>(pack_frame_bytes_max, size_ - offset);
    if (offset < begin_ || offset + want > begin_ + buffer_.size()) {
      buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(window_bytes, size_ - offset)));
      buffer_.resize(read_(offset, buffer_));
      begin_ = offset;
    }
    const ByteView rest = ByteView(buffer_).subspan(static_cast<std::size_t>(offset - begin_));
    return rest.first(std::min(rest.size(), static_cast<std::size_t>(want)));
  }

 private:
  const ReadAt& read_;
  std::uint64_t size_;
  std::uint64_t begin_ = 0;
  Bytes buffer_;
};

std::optional<FrameView> good_frame(ByteView bytes) {
  try {
    const std::optional<std::size_t> length = frame_length(bytes);
    if (!length || *length > bytes.size()) return std::nullopt;
    return parse_frame(bytes.first(*length));
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool chunks_match_ids(FrameDecoder& decoder, const FrameView& frame, const DomainKey& key) {
  try {
    decoder.decode_verified(frame, key, [](const ChunkId&, ByteView) {});
    return true;
  } catch (const Error&) {
    return false;
  }
}

struct Search {
  std::uint64_t found = 0;  // the next good frame; where there is none, the size
  bool gave_up = false;
};

Search find_good_frame(Window& window, std::uint64_t from, std::uint64_t size, const DomainKey& key,
                       std::uint64_t& bytes_left) {
  FrameDecoder decoder;
  for (std::uint64_t at = from; at < size;) {
    const ByteView bytes = window.at(at);
    if (bytes.empty()) break;
    const std::size_t next = as_text(bytes).find(frame_magic);
    if (next == std::string_view::npos) {
      at += bytes.size() > 3 ? bytes.size() - 3 : bytes.size();
      if (bytes.size() < pack_frame_bytes_max) break;  // that was the file's end
      continue;
    }
    at += next;
    const ByteView candidate = window.at(at);
    const std::optional<FrameView> frame = good_frame(candidate);
    const std::uint64_t cost = frame ? 2ULL * frame->content_bytes + frame->whole.size() : candidate.size() / 16 + 1;
    if (bytes_left < cost) return {at, true};
    bytes_left -= cost;
    if (frame && chunks_match_ids(decoder, *frame, key)) return {at, false};
    ++at;
  }
  return {size, false};
}

}  // namespace

ScanResult scan_frames(const ReadAt& read, std::uint64_t begin, std::uint64_t size, const DomainKey& key,
                       const UseFrame& use) {
  Window window(read, size);
  ScanResult result;
  result.end = begin;
  std::uint64_t search_bytes_left = search_bytes_max;
  for (std::uint64_t at = begin; at < size;) {
    const ByteView bytes = window.at(at);
    if (as_text(bytes).starts_with(trailer_magic)) {
      result.trailer = true;
      break;
    }
    std::optional<FrameView> frame = good_frame(bytes);
    if (!frame) {
      const Search search = find_good_frame(window, at + 1, size, key, search_bytes_left);
      if (search.gave_up) {
        // Nothing is known of the rest, so nothing of it may be cut.
        result.damaged.push_back({at, size - at});
        result.end = size;
        break;
      }
      if (search.found == size) break;
      result.damaged.push_back({at, search.found - at});
      at = search.found;
      frame = good_frame(window.at(at));
      if (!frame) break;
    }
    const auto length = static_cast<std::uint32_t>(frame->whole.size());
    use({at, length, frame_checksum_of(frame->whole), std::move(frame->chunks)});
    at += length;
    result.end = at;
  }
  return result;
}

bool walk_frames(const ReadAt& read, std::uint64_t begin, std::uint64_t end, const UseFrame& use) {
  Bytes directory;
  for (std::uint64_t at = begin; at < end;) {
    std::array<std::byte, frame_header_bytes> header{};
    if (end - at < header.size() || read(at, header) != header.size()) return false;
    try {
      const std::optional<std::size_t> length = frame_length(header);
      if (!length || *length > end - at) return false;
      ByteReader in(ByteView(header).subspan(6), "a frame's header");
      const std::size_t chunks = in.u16();
      if (header.size() + chunks * directory_entry_bytes + 8 > *length) return false;
      directory.resize(chunks * directory_entry_bytes);
      std::array<std::byte, 8> checksum{};
      if (read(at + header.size(), directory) != directory.size() ||
          read(at + *length - checksum.size(), checksum) != checksum.size())
        return false;
      ScannedFrame frame{at, static_cast<std::uint32_t>(*length), ByteReader(checksum).u64(), {}};
      ByteReader entries(directory, "a frame's directory");
      for (std::size_t i = 0; i < chunks; ++i) {
        const ChunkId id = ChunkId::from_bytes(entries.bytes(32));
        frame.chunks.push_back({id, entries.u32()});
      }
      use(frame);
      at += *length;
    } catch (const Error&) {
      return false;
    }
  }
  return true;
}

}  // namespace vmferry::store
