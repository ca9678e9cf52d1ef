// streamOptimized: header, descriptor, compressed grains each behind a marker, after each group of 512 its grain
// table, at the end the directory, the footer that knows its place, and the end-of-stream marker.
#include <algorithm>
#include <string>

#include "engine/disk/deflate.h"
#include "engine/disk/output_descriptor.h"
#include "engine/disk/sparse_header.h"
#include "engine/disk/vmdk_sector.h"
#include "engine/disk/writers.h"

namespace vmferry::disk {
namespace {

class StreamWriter final : public GrainWriter {
 public:
  StreamWriter(const std::filesystem::path& out, const OutputDisk& disk, const std::string& text, const Existing& existing)
      : GrainWriter(disk.size_bytes), file_(out, existing) {
    file_.resize(0);  // an unfinished one has no tables to find its grains by: it cannot be gone on with
    header_.version = 3;
    header_.flags =
        SparseHeader::flag_newline_test | SparseHeader::flag_compressed | SparseHeader::flag_markers;
    header_.capacity_sectors = size_bytes() / vmdk_sector_bytes;
    header_.grain_sectors = grain_sectors;
    header_.descriptor_sector = 1;
    header_.descriptor_sectors = std::max<std::uint64_t>(20, (text.size() + vmdk_sector_bytes - 1) / vmdk_sector_bytes);
    header_.table_entries = table_entries;
    header_.directory_sector = SparseHeader::directory_at_end;
    header_.overhead_sectors = (1 + header_.descriptor_sectors + grain_sectors - 1) / grain_sectors * grain_sectors;
    header_.compression = SparseHeader::deflate_algorithm;
    file_.write(0, write_sparse_header(header_));
    file_.write(vmdk_sector_bytes, as_bytes(text));
    next_sector_ = header_.overhead_sectors;
    add_output(out);
  }

 protected:
  void put_grain(std::uint64_t index, ByteView grain) override {
    if (index / table_entries != directory_.size()) end_groups(index / table_entries);
    if (table_.empty()) table_.resize(table_entries);
    table_[index % table_entries] = table_entry(next_sector_, file_);
    record_.clear();
    deflate_grain(grain, record_);
    ByteWriter marker;
    marker.u64(index * grain_sectors);
    marker.u32(static_cast<std::uint32_t>(record_.size()));
    record_.insert(record_.begin(), marker.view().begin(), marker.view().end());
    append(record_);
  }

  void complete() override {
    flush_grain();
    end_groups(tables());
    ByteWriter directory;
    for (const std::uint32_t table : directory_) directory.u32(table);
    append_marker(MarkerType::grain_directory, (directory.size() + vmdk_sector_bytes - 1) / vmdk_sector_bytes);
    header_.directory_sector = next_sector_;
    append(Bytes(directory.view().begin(), directory.view().end()));
    append_marker(MarkerType::footer, 1);
    append(write_sparse_header(header_));
    append_marker(MarkerType::end_of_stream, 0);
    file_.sync();
    file_.publish();
    sync_folder(file_.final_path().parent_path());
  }

 private:
  // Writes the open group's table, and leaves those of empty groups out, up to group `index`.
  void end_groups(std::uint64_t index) {
    if (!table_.empty()) {
      append_marker(MarkerType::grain_table, table_sectors);
      directory_.push_back(table_entry(next_sector_, file_));
      ByteWriter entries;
      for (const std::uint32_t entry : table_) entries.u32(entry);
      append(Bytes(entries.view().begin(), entries.view().end()));
      table_.clear();
    }
    directory_.resize(static_cast<std::size_t>(index), 0);
  }

  void append_marker(MarkerType type, std::uint64_t sectors) {
    ByteWriter marker;
    marker.u64(sectors);
    marker.u32(0);
    marker.u32(static_cast<std::uint32_t>(type));
    append(std::move(marker).take());
  }

  void append(Bytes record) {
    record.resize((record.size() + vmdk_sector_bytes - 1) / vmdk_sector_bytes * vmdk_sector_bytes);
    file_.write(next_sector_ * vmdk_sector_bytes, record);
    next_sector_ += record.size() / vmdk_sector_bytes;
  }

  OutputFile file_;
  SparseHeader header_;
  std::uint64_t next_sector_ = 0;
  std::vector<std::uint32_t> directory_;  // of the groups that ended
  std::vector<std::uint32_t> table_;      // of group directory_.size(); empty: no grain yet
  Bytes record_;
};

}  // namespace

std::unique_ptr<DiskWriter> create_stream_disk(const std::filesystem::path& out, const OutputDisk& disk,
                                               const Existing& existing) {
  const std::string text =
      output_descriptor(disk, {.create_type = "streamOptimized", .type = "SPARSE", .file_name = out.filename()});
  return std::make_unique<StreamWriter>(out, disk, text, existing);
}

}  // namespace vmferry::disk
