// StreamCutter: where a stream is cut into chunks, and their ids. It tries the former version's cuts first: bytes with
// the former chunk's id are that chunk, at the cost of one hash. Where they differ it runs FastCDC until a cut falls on
// a former one. Under CutRule::exact the cuts are those that FastCDC alone would make over the stream.
// Pure: it sees bytes and former cuts, and does no I/O of its own. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "protocol/chunker.h"
#include "protocol/chunk_id.h"

namespace vmferry::backup {

// What the former version had at a position of the stream.
struct FormerCut {
  enum class Kind : std::uint8_t {
    chunk,    // a chunk from its first byte on
    partial,  // a slice of a chunk that begins elsewhere
    gap,      // zeros, or nothing that was backed up
  };
  std::uint64_t offset = 0;  // in the stream
  std::uint64_t length = 0;
  Kind kind = Kind::gap;
  bool stream_end = false;   // the former stream ended with it, so its cut may not be FastCDC's
  bool open = false;         // it may go on: not enough of the stream is known yet
  std::uint32_t chunk_offset = 0;  // partial: where in its chunk it begins
  ChunkId id;                // chunk, partial

  std::uint64_t end() const noexcept { return offset + length; }
};

// The former version of one stream, in stream order.
class FormerCuts {
 public:
  virtual ~FormerCuts() = default;
  // The cut that covers `position`; null where the former version says nothing of it. Positions never go back.
  virtual const FormerCut* covering(std::uint64_t position) = 0;
};

enum class CutRule : std::uint8_t {
  exact,      // former cuts only where FastCDC makes the same
  as_former,  // every former cut is a cut again: for opaque streams
};

class StreamCutter {
 public:
  StreamCutter(const Chunker& chunker, const DomainKey& key);

  // A new stream. `former` may be null, and must outlive the stream.
  void begin(FormerCuts* former, CutRule rule);
  // Zero chunks are told as such, unless the stream's home has no place for zeros.
  void keep_zeros(bool keep) noexcept { keep_zeros_ = keep; }

  struct Cut {
    std::uint32_t length = 0;
    bool zero = false;   // all zeros: no id
    bool known = false;  // the former version's chunk at this place
    ChunkId id;
  };
  // The chunk that begins at bytes[0], the stream's next byte. nullopt: more bytes are needed (never where `ended`
  // and there are bytes, nor where there are window_bytes() of them).
  std::optional<Cut> next(ByteView bytes, bool ended);
  std::size_t window_bytes() const noexcept { return size_max_; }

 private:
  std::optional<Cut> zeros(ByteView bytes, bool ended, const FormerCut* former);
  Cut taken(Cut cut);

  const Chunker& chunker_;
  const DomainKey& key_;
  const std::size_t size_max_;
  std::size_t zero_cut_;  // where FastCDC cuts zeros
  bool keep_zeros_ = false;
  FormerCuts* former_ = nullptr;
  CutRule rule_ = CutRule::exact;
  std::uint64_t position_ = 0;
};

}  // namespace vmferry::backup
