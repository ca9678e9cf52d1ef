#include "engine/restore/sector_writer.h"

#include <algorithm>
#include <stdexcept>

namespace vmferry::restore {
namespace {

constexpr std::size_t gathered_bytes_max = 1 << 20;

}  // namespace

SectorWriter::SectorWriter(disk::DiskWriter& writer, std::uint64_t size_bytes)
    : writer_(writer), size_bytes_(size_bytes) {
  gathered_.reserve(gathered_bytes_max);
}

void SectorWriter::write(std::uint64_t offset, ByteView data) {
  const std::uint64_t end = begin_ + gathered_.size();
  if (offset < end || offset > size_bytes_ || data.size() > size_bytes_ - offset)
    throw std::logic_error("a disk is not written in ascending order");
  // A gap that stays within one block of the output's file system cannot be a hole there.
  if (offset > end && offset / block_bytes != end / block_bytes) flush();
  if (gathered_.empty()) begin_ = offset - offset % sector_bytes;
  const std::uint64_t gap = offset - begin_ - gathered_.size();
  gathered_.resize(gathered_.size() + static_cast<std::size_t>(gap));
  while (!data.empty()) {
    // Written at multiples of gathered_bytes_max on the disk: whole grains.
    const std::size_t full = gathered_bytes_max - static_cast<std::size_t>(begin_ % gathered_bytes_max);
    const std::size_t take = std::min(data.size(), full - std::min(full, gathered_.size()));
    gathered_.insert(gathered_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(take));
    data = data.subspan(take);
    if (gathered_.size() >= full) {
      // What is past the last whole sector (a gap may have brought it there) stays.
      const std::size_t rest = gathered_.size() % sector_bytes;
      const Bytes kept(gathered_.end() - static_cast<std::ptrdiff_t>(rest), gathered_.end());
      gathered_.resize(gathered_.size() - rest);
      write_out();
      gathered_ = kept;
      gathered_.reserve(gathered_bytes_max);
    }
  }
}

void SectorWriter::flush() {
  const std::size_t over = gathered_.size() % sector_bytes;
  if (over != 0) gathered_.resize(gathered_.size() + sector_bytes - over);
  write_out();
}

void SectorWriter::write_out() {
  if (!gathered_.empty()) writer_.write(begin_, gathered_);
  begin_ += gathered_.size();
  gathered_.clear();
}

}  // namespace vmferry::restore
