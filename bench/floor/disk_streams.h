// The streams of a raw disk as libntfs-3g sees them, independent of vmferry's engine: the judge of what must be sent.
// MBR (primary partitions) and GPT; an NTFS volume is known by its boot sector. What is free, and the root's
// pagefile.sys, swapfile.sys and hiberfil.sys, is in no stream; every other byte of the disk is in one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "protocol/byte_range.h"
#include "protocol/bytes.h"

namespace vmferry::bench {

enum class StreamKind { file, metadata, opaque };

struct DiskStream {
  StreamKind kind = StreamKind::opaque;
  std::string path;             // with ":name" of a named attribute and "/$INDEX_ALLOCATION" and the like; "@offset"
                                // where it is opaque
  std::uint64_t reference = 0;  // of the MFT record
  std::uint32_t attribute = 0;  // its type
  std::string attribute_name;
  std::vector<ByteRange> ranges;  // of the disk, in stream order: whole clusters
  std::uint64_t bytes = 0;
};

// A raw disk mapped into memory, and its streams.
class StreamedDisk {
 public:
  explicit StreamedDisk(const std::filesystem::path& raw);
  ~StreamedDisk();
  StreamedDisk(const StreamedDisk&) = delete;
  StreamedDisk& operator=(const StreamedDisk&) = delete;

  const std::vector<DiskStream>& streams() const { return streams_; }
  std::uint64_t bytes() const { return disk_.size(); }
  ByteView at(ByteRange range) const { return disk_.subspan(range.offset, range.length); }

 private:
  void add_volume(const std::filesystem::path& raw, ByteRange volume);
  void add_opaque(ByteRange range);
  // What none of `claimed` holds of it.
  void add_gaps(ByteRange whole, std::vector<ByteRange> claimed);

  ByteView disk_;
  std::vector<DiskStream> streams_;
};

}  // namespace vmferry::bench
