// link: disk
// Any bytes as a disk's first and last sectors: never an exception, never overlapping partitions.
#include <stdlib.h>

#include <algorithm>
#include <cstdint>

#include "engine/disk/partitions.h"
#include "protocol/bytes.h"

namespace {

using namespace vmferry;

class BytesDisk final : public disk::Disk {
 public:
  explicit BytesDisk(ByteView bytes) : bytes_(bytes) {}
  std::uint64_t size_bytes() const noexcept override { return bytes_.size(); }
  void read(std::uint64_t offset, std::span<std::byte> into) const override {
    if (!range_fits(offset, into.size(), bytes_.size())) ::abort();  // it must not ask for what is not there
    std::ranges::copy(bytes_.subspan(offset, into.size()), into.begin());
  }
  disk::DiskExtent extent_at(std::uint64_t offset) const override { return {{offset, bytes_.size() - offset}, false}; }
  const disk::DiskDescription& description() const noexcept override { return description_; }
  const std::vector<disk::DiskFile>& files() const noexcept override { return files_; }

 private:
  ByteView bytes_;
  disk::DiskDescription description_;
  std::vector<disk::DiskFile> files_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 512) return 0;
  const BytesDisk disk(std::as_bytes(std::span(data, size / 512 * 512)));
  const disk::PartitionTable table = disk::read_partitions(disk);
  std::uint64_t end = 0;
  for (const disk::Partition& partition : table.partitions) {
    if (partition.range.offset < end || partition.range.length == 0 ||
        !range_fits(partition.range.offset, partition.range.length, disk.size_bytes()))
      ::abort();
    end = partition.range.end();
  }
  return 0;
}
