// VolumeRanges: where files lie on the disk, from the records of a file index: what is planned before it is read.
// A hint only: what it leaves out (because it does not fit, or is not known) is fetched when it is read.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/restore/restore.h"
#include "engine/restore/volume_index.h"
#include "protocol/byte_range.h"
#include "protocol/file_index.h"

namespace vmferry::restore {

inline constexpr std::uint32_t attribute_data = 0x80;  // the type of streams that are files' content

class VolumeRanges {
 public:
  explicit VolumeRanges(const VolumeRow& row);

  // Reads the records of NTFS's own files. Throws what the index throws.
  void load(VolumeIndex& index);

  // What a mount reads: the beginnings of NTFS's own files.
  const std::vector<ByteRange>& mount() const noexcept { return mount_; }
  // The MFT record itself.
  void add_record(MftReference record, std::vector<ByteRange>& ranges) const;
  // The first `bytes_max` bytes of a stream, in its order.
  void add_stream(const StreamEntry& stream, std::uint64_t bytes_max, std::vector<ByteRange>& ranges) const;

  // The streams that make a file's content: the unnamed one, or what WOF keeps in its place.
  static bool is_content(const StreamEntry& stream);

 private:
  void add_clusters(std::uint64_t lcn, std::uint64_t offset, std::uint64_t length,
                    std::vector<ByteRange>& ranges) const;

  const ByteRange volume_;
  const std::uint64_t cluster_bytes_;
  const std::uint64_t record_bytes_;
  std::vector<ByteRange> mount_;
  struct MftPiece {
    std::uint64_t offset;  // in $MFT
    StreamRun run;
  };
  std::vector<MftPiece> mft_;
};

}  // namespace vmferry::restore
