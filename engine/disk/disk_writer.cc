#include "engine/disk/disk_writer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include "engine/disk/output_descriptor.h"
#include "engine/disk/writers.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::disk {
namespace {

namespace fs = std::filesystem;

// The disk's bytes in a file of their own.
class PlainWriter : public OrderedWriter, public PlacedContent {
 public:
  PlacedContent* placed() noexcept final { return this; }
  bool is_resumed() const noexcept final { return data_.is_resumed(); }
  void place(std::uint64_t offset, ByteView data, Zeros zeros) final {
    if (!range_fits(offset, data.size(), size_bytes()))
      throw Error(ErrorCode::failed, "a disk cannot be written past its end", data_.final_path().string());
    if (zeros == Zeros::holes)
      data_.write_data(offset, data);
    else
      data_.write(offset, data);
  }
  void clear(std::uint64_t offset, std::uint64_t length) final { data_.clear(offset, length); }
  bool is_hole(std::uint64_t offset, std::uint64_t length) const final { return data_.is_hole(offset, length); }
  bool read_back(std::uint64_t offset, std::span<std::byte> into) const final { return data_.read_back(offset, into); }

 protected:
  PlainWriter(const fs::path& data, std::uint64_t size, const Existing& existing)
      : OrderedWriter(size), data_(data, existing) {
    data_.resize(size);
  }
  void put(std::uint64_t offset, ByteView data) final { data_.write_data(offset, data); }

  OutputFile data_;
};

class RawWriter final : public PlainWriter {
 public:
  RawWriter(const fs::path& out, std::uint64_t size, const Existing& existing) : PlainWriter(out, size, existing) {
    add_output(out);
  }

 protected:
  void complete() override {
    data_.sync();
    data_.publish();
    sync_folder(data_.final_path().parent_path());
  }
};

class FlatWriter final : public PlainWriter {
 public:
  // descriptor: opened, and locked, before the extent.
  FlatWriter(std::unique_ptr<OutputFile> descriptor, const fs::path& extent, const OutputDisk& disk,
             const std::string& text, const Existing& existing)
      : PlainWriter(extent, disk.size_bytes, existing), descriptor_(std::move(descriptor)) {
    descriptor_->resize(0);
    descriptor_->write(0, as_bytes(text));
    add_output(descriptor_->final_path());
    add_output(extent);
  }

 protected:
  void complete() override {
    data_.sync();
    descriptor_->sync();
    data_.publish();
    sync_folder(data_.final_path().parent_path());
    descriptor_->publish();
    sync_folder(descriptor_->final_path().parent_path());
  }

 private:
  std::unique_ptr<OutputFile> descriptor_;
};

fs::path flat_extent_path(const fs::path& out) {
  const std::string stem = out.extension() == ".vmdk" ? out.stem().string() : out.filename().string();
  return out.parent_path() / (stem + "-flat.vmdk");
}

// An attempt that ended between its two last steps: the extent has its name already, and its descriptor has not.
void take_extent_back(const fs::path& out, const fs::path& extent) {
  std::error_code ignored;
  const fs::path descriptor = OutputFile::partial_path_of(out), partial = OutputFile::partial_path_of(extent);
  if (!fs::is_regular_file(descriptor, ignored) || fs::exists(out, ignored) || fs::exists(partial, ignored)) return;
  std::string text;
  std::getline(std::ifstream(descriptor, std::ios::binary), text, '\0');
  if (text.size() > limits::descriptor_bytes_max ||
      text.find(" FLAT \"" + extent.filename().string() + "\" 0\n") == std::string::npos)
    return;
  ::renameat2(AT_FDCWD, extent.c_str(), AT_FDCWD, partial.c_str(), RENAME_NOREPLACE);
}

std::unique_ptr<DiskWriter> create_flat_disk(const fs::path& out, const OutputDisk& disk, const Existing& existing) {
  const fs::path extent = flat_extent_path(out);
  if (existing.resume) take_extent_back(out, extent);
  // Before anything is created: a partial file of a restore that did not begin would be in the next one's way.
  OutputFile::expect_free(extent, existing);
  const std::string text =
      output_descriptor(disk, {.create_type = "monolithicFlat", .type = "FLAT", .file_name = extent.filename()});
  return std::make_unique<FlatWriter>(std::make_unique<OutputFile>(out, existing), extent, disk, text, existing);
}

}  // namespace

std::uint64_t partial_bytes(const std::filesystem::path& out, OutputFormat format) {
  struct stat status {};
  const fs::path data = format == OutputFormat::flat ? flat_extent_path(out) : out;
  if (::lstat(OutputFile::partial_path_of(data).c_str(), &status) != 0) return 0;
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

void OrderedWriter::write(std::uint64_t offset, std::span<const std::byte> data) {
  if (finished_ || offset < written_to_ || offset % 512 != 0 || data.size() % 512 != 0 ||
      !range_fits(offset, data.size(), size_bytes_))
    throw Error(ErrorCode::failed, "a disk cannot be written out of order", outputs_.front().string(),
                std::to_string(data.size()) + " bytes at " + std::to_string(offset));
  put(offset, data);
  written_to_ = offset + data.size();
}

void OrderedWriter::finish() {
  if (finished_) return;
  complete();
  finished_ = true;
}

void GrainWriter::put(std::uint64_t offset, ByteView data) {
  while (!data.empty()) {
    const std::uint64_t index = offset / grain_bytes;
    const auto within = static_cast<std::size_t>(offset % grain_bytes);
    const std::size_t length = std::min<std::size_t>(grain_bytes - within, data.size());
    const ByteView part = data.first(length);
    if (index != grain_index_) flush_grain();
    grain_index_ = index;
    if (length == grain_bytes) {
      if (!is_zeros(part)) put_grain(index, part);  // without a copy
    } else if (!is_zeros(part)) {
      std::ranges::copy(part, grain_.begin() + static_cast<std::ptrdiff_t>(within));
      grain_used_ = true;
    }
    offset += length;
    data = data.subspan(length);
  }
}

void GrainWriter::flush_grain() {
  if (!grain_used_) return;
  put_grain(grain_index_, grain_);
  std::ranges::fill(grain_, std::byte{0});
  grain_used_ = false;
}

std::uint32_t GrainWriter::table_entry(std::uint64_t sector, const OutputFile& file) {
  if (sector > 0xffffffff)
    throw Error(ErrorCode::unsupported, "a sparse disk cannot hold more than 2 TiB of data",
                file.final_path().string(), "restore it as a flat one");
  return static_cast<std::uint32_t>(sector);
}

std::unique_ptr<DiskWriter> create_disk(const std::filesystem::path& out, OutputFormat format, const OutputDisk& disk,
                                        const Existing& existing) {
  if (disk.size_bytes == 0 || disk.size_bytes % 512 != 0 || disk.size_bytes > limits::disk_bytes_max)
    throw Error(ErrorCode::malformed, "a disk cannot have this size", out.string(),
                std::to_string(disk.size_bytes) + " bytes");
  switch (format) {
    case OutputFormat::flat: return create_flat_disk(out, disk, existing);
    case OutputFormat::sparse: return create_sparse_disk(out, disk, existing);
    case OutputFormat::stream: return create_stream_disk(out, disk, existing);
    case OutputFormat::raw: return std::make_unique<RawWriter>(out, disk.size_bytes, existing);
  }
  throw Error(ErrorCode::usage, "an unknown output format");
}

OutputFormat same_format(const DiskDescription& description) {
  const std::string& format = description.format;
  if (format == "raw") return OutputFormat::raw;
  if (format == "streamOptimized") return OutputFormat::stream;
  if (format == "monolithicSparse" || format == "twoGbMaxExtentSparse") return OutputFormat::sparse;
  return OutputFormat::flat;  // what ESX reads: vmfs and its kinds; the base of vmfsSparse and seSparse is one too
}

}  // namespace vmferry::disk
