// DiskWriter: writes a whole disk in one of vmferry's output formats, in ascending order of offset; flat and raw ones
// also in any order, so that what came of a disk is in its output, whatever is still missing before it. The output
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

// PlacedContent: an output whose bytes lie in a file as they lie on the disk: any range may be written, any number of bytes,
// in any order, and read back. What was never written is zeros.
class PlacedContent {
 public:
  virtual ~PlacedContent() = default;
  // Whether it has what an earlier attempt left. Then what is not written stays as that left it.
  virtual bool is_resumed() const noexcept = 0;
  // Blocks of zeros become holes, or are written too.
  enum class Zeros { holes, written };
  virtual void place(std::uint64_t offset, ByteView data, Zeros zeros) = 0;
  virtual void clear(std::uint64_t offset, std::uint64_t length) = 0;  // makes it zeros, where it is not
  // Nothing was ever written there.
  virtual bool is_hole(std::uint64_t offset, std::uint64_t length) const = 0;
  // As it is now; false where it cannot be read.
  virtual bool read_back(std::uint64_t offset, std::span<std::byte> into) const = 0;
};

class DiskWriter {
 public:
  virtual ~DiskWriter() = default;
  virtual void write(std::uint64_t offset, std::span<const std::byte> data) = 0;  // ascending offsets, 512-aligned
  virtual void finish() = 0;  // durable when it returns
  virtual const std::vector<std::filesystem::path>& outputs() const noexcept = 0;  // final names

  // Null where the format is written in order only.
  virtual PlacedContent* placed() noexcept { return nullptr; }
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
