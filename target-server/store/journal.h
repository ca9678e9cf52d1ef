// Journal: the open pack, journal/UUID.pack: where received frames are appended. append() writes at once (other threads
// and processes can read the bytes) but not durably; sync() makes all that was appended durable. What a failed write
// left behind the last whole frame is cut off before anything else is written. One thread at a time, but sync()
// may run beside append().
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "protocol/bytes.h"
#include "target-server/store/local_files.h"
#include "target-server/store/pack_format.h"

namespace vmferry::store {

class Journal {
 public:
  static Journal create(const std::filesystem::path& folder, const PackHeader& header);
  // A pack that recovery has read: `size` ends its last whole frame, `chain` and `chunks` are of all its frames.
  struct Found {
    PackHeader header;
    std::uint64_t size = 0;
    std::uint64_t chain = 0;
    std::vector<PackChunk> chunks;
  };
  static Journal reopen(const std::filesystem::path& folder, Found found);

  std::uint64_t append(const FrameView& frame);  // returns its offset
  void sync();
  // Writes the trailer and makes it durable. Where that fails the pack stays open, without a trailer.
  // Returns the trailer's checksum.
  std::uint64_t finish();

  const Uuid& pack() const noexcept { return header_.pack; }
  const std::filesystem::path& path() const noexcept { return path_; }
  std::uint64_t size() const noexcept { return size_; }
  std::uint64_t chain() const noexcept { return chain_; }
  std::size_t chunk_count() const noexcept { return chunks_.size(); }
  const std::vector<PackChunk>& chunks() const noexcept { return chunks_; }

 private:
  Journal(const std::filesystem::path& folder, const PackHeader& header);
  void cut_torn_tail();

  PackHeader header_;
  std::filesystem::path path_;
  Descriptor file_;
  std::uint64_t size_ = 0;
  std::uint64_t chain_ = 0;
  bool torn_ = false;
  std::vector<PackChunk> chunks_;  // of the whole pack, for its trailer: 48 bytes each, pack_chunks_max at most
};

}  // namespace vmferry::store
