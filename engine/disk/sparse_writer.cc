// monolithicSparse: header, descriptor, the redundant grain directory and its tables, the directory and its tables,
// then the grains. All tables are there from the start, as VMware makes them; those of no grain stay holes.
#include <algorithm>
#include <optional>
#include <string>

#include "engine/disk/output_descriptor.h"
#include "engine/disk/sparse_header.h"
#include "engine/disk/vmdk_sector.h"
#include "engine/disk/writers.h"
#include "protocol/byte_range.h"

namespace vmferry::disk {
namespace {

class SparseWriter final : public GrainWriter {
 public:
  SparseWriter(const std::filesystem::path& out, const OutputDisk& disk, const std::string& text, const Existing& existing)
      : GrainWriter(disk.size_bytes), file_(out, existing) {
    file_.resize(0);  // an unfinished one has no tables to find its grains by: it cannot be gone on with
    place(text.size());
    file_.write(0, write_sparse_header(header_));
    file_.write(vmdk_sector_bytes, as_bytes(text));
    write_directory(header_.redundant_directory_sector);
    write_directory(header_.directory_sector);
    next_sector_ = header_.overhead_sectors;
    file_.resize(next_sector_ * vmdk_sector_bytes);
    add_output(out);
  }

 protected:
  void put_grain(std::uint64_t index, ByteView grain) override {
    if (index / table_entries != table_index_) flush_table();
    table_index_ = index / table_entries;
    if (table_.empty()) table_.resize(table_entries * 4);
    const std::uint32_t sector = table_entry(next_sector_, file_);
    for (std::size_t i = 0; i < 4; ++i)
      table_[index % table_entries * 4 + i] = static_cast<std::byte>((sector >> (8 * i)) & 0xff);
    file_.write(next_sector_ * vmdk_sector_bytes, grain);
    next_sector_ += grain_sectors;
  }

  void complete() override {
    flush_grain();
    flush_table();
    file_.sync();
    file_.publish();
    sync_folder(file_.final_path().parent_path());
  }

 private:
  void place(std::size_t descriptor_bytes) {
    const std::uint64_t directory_sectors = (tables() * 4 + vmdk_sector_bytes - 1) / vmdk_sector_bytes;
    header_.version = 1;
    header_.flags = SparseHeader::flag_newline_test | SparseHeader::flag_redundant_table;
    header_.capacity_sectors = size_bytes() / vmdk_sector_bytes;
    header_.grain_sectors = grain_sectors;
    header_.descriptor_sector = 1;
    // VMware gives it 20 sectors; room is left for what it adds to the text later.
    header_.descriptor_sectors =
        std::max<std::uint64_t>(20, (descriptor_bytes + 1024 + vmdk_sector_bytes - 1) / vmdk_sector_bytes);
    header_.table_entries = table_entries;
    header_.redundant_directory_sector = 1 + header_.descriptor_sectors;
    header_.directory_sector = header_.redundant_directory_sector + directory_sectors + tables() * table_sectors;
    header_.overhead_sectors =
        checked_round_up(header_.directory_sector + directory_sectors + tables() * table_sectors, grain_sectors,
                         "a disk's tables");
  }

  std::uint64_t first_table(std::uint64_t directory_sector) const {
    return directory_sector + (tables() * 4 + vmdk_sector_bytes - 1) / vmdk_sector_bytes;
  }

  void write_directory(std::uint64_t directory_sector) {
    ByteWriter entries;
    std::uint64_t offset = directory_sector * vmdk_sector_bytes;
    for (std::uint64_t i = 0; i < tables(); ++i) {
      entries.u32(table_entry(first_table(directory_sector) + i * table_sectors, file_));
      if (entries.size() < 1024 * 1024 && i + 1 < tables()) continue;
      file_.write(offset, entries.view());
      offset += entries.size();
      entries.clear();
    }
  }

  void flush_table() {
    if (table_.empty()) return;
    for (const std::uint64_t directory : {header_.redundant_directory_sector, header_.directory_sector})
      file_.write((first_table(directory) + table_index_ * table_sectors) * vmdk_sector_bytes, table_);
    table_.clear();
  }

  OutputFile file_;
  SparseHeader header_;
  std::uint64_t next_sector_ = 0;
  std::uint64_t table_index_ = 0;
  Bytes table_;  // of table_index_; empty: no grain yet
};

}  // namespace

std::unique_ptr<DiskWriter> create_sparse_disk(const std::filesystem::path& out, const OutputDisk& disk,
                                               const Existing& existing) {
  const std::string text =
      output_descriptor(disk, {.create_type = "monolithicSparse", .type = "SPARSE", .file_name = out.filename()});
  return std::make_unique<SparseWriter>(out, disk, text, existing);
}

}  // namespace vmferry::disk
