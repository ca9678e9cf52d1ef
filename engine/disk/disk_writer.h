// DiskWriter: writes a whole disk in one of vmferry's output formats, in ascending order of offset. The output
// does not exist before and is complete only after finish(): until then its main file is named OUT.partial
// (extents beside it OUT-flat.vmdk.partial), renamed and synced by finish(), descriptor last. One thread.
// The destructor without finish() leaves the .partial files for the user to look at.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/disk/disk.h"
#include "engine/disk/output_file.h"

namespace vmferry::disk {

enum class OutputFormat {
  flat,    // monolithicFlat: descriptor + OUT-flat.vmdk, sparse on the host where zeros are
  sparse,  // monolithicSparse, grains of 64 KiB
  stream,  // streamOptimized, zlib grains, with footer
  raw,
};

struct OutputDisk {
  std::uint64_t size_bytes = 0;    // a multiple of 512
  DiskDescription description;     // geometry, adapter type, uuid and ddb lines are kept; CID is made new
};

class DiskWriter {
 public:
  virtual ~DiskWriter() = default;
  virtual void write(std::uint64_t offset, std::span<const std::byte> data) = 0;  // ascending offsets, 512-aligned
  virtual void finish() = 0;  // durable when it returns
  virtual const std::vector<std::filesystem::path>& outputs() const noexcept = 0;  // final names

  // Whether the output has what an earlier attempt left (flat and raw only). Then what is not written stays as that left
  // it, and it is the caller's to look at all of it:
  virtual bool is_resumed() const noexcept { return false; }
  // whether nothing was ever written in a range;
  virtual bool is_hole(std::uint64_t offset, std::uint64_t length) const {
    return static_cast<void>(offset), static_cast<void>(length), false;
  }
  // a range as it is now, false where it cannot be read;
  virtual bool read_back(std::uint64_t offset, std::span<std::byte> into) const {
    return static_cast<void>(offset), static_cast<void>(into), false;
  }
  // a range that is to be zeros.
  virtual void clear(std::uint64_t offset, std::uint64_t length) {
    static_cast<void>(offset), static_cast<void>(length);
  }
};

// Throws Error{exists} where an output is there already and `existing` does not cover it, Error{busy} where another
// process is writing it.
std::unique_ptr<DiskWriter> create_disk(const std::filesystem::path& out, OutputFormat format, const OutputDisk& disk,
                                        const Existing& existing);
// The bytes that an earlier attempt's partial files of this output take on their disk.
std::uint64_t partial_bytes(const std::filesystem::path& out, OutputFormat format);
// The format that comes nearest to the source's own createType: "same".
OutputFormat same_format(const DiskDescription& description);

}  // namespace vmferry::disk
