// ChainDisk: a Disk of one or more links, the newest first. A link is one descriptor's extents, side by side;
// what a link does not hold, the next one says; what none holds is zeros.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/disk/disk.h"
#include "engine/disk/extent.h"

namespace vmferry::disk {

struct Link {
  struct PlacedExtent {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::unique_ptr<Extent> extent;
  };
  std::vector<PlacedExtent> extents;  // from 0 on, without gaps
  std::uint64_t size_bytes = 0;

  const PlacedExtent& extent_of(std::uint64_t offset) const;  // offset < size_bytes
};

class ChainDisk final : public Disk {
 public:
  // links is not empty.
  ChainDisk(std::vector<Link> links, DiskDescription description, std::vector<DiskFile> files);

  std::uint64_t size_bytes() const noexcept override { return links_.front().size_bytes; }
  void read(std::uint64_t offset, std::span<std::byte> into) const override;
  DiskExtent extent_at(std::uint64_t offset) const override;
  const DiskDescription& description() const noexcept override { return description_; }
  const std::vector<DiskFile>& files() const noexcept override { return files_; }

 private:
  void read_link(std::size_t link, std::uint64_t offset, std::span<std::byte> into) const;
  struct Told {
    bool hole = false;
    std::uint64_t length = 0;
  };
  Told tell(std::uint64_t offset, std::uint64_t length_max) const;

  std::vector<Link> links_;
  DiskDescription description_;
  std::vector<DiskFile> files_;
};

}  // namespace vmferry::disk
