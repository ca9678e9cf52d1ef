#include "engine/disk/disk_writer.h"

#include <algorithm>
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

class RawWriter final : public OrderedWriter {
 public:
  RawWriter(const fs::path& out, std::uint64_t size, bool overwrite) : OrderedWriter(size), file_(out, overwrite) {
    file_.resize(size);
    add_output(out);
  }

 protected:
  void put(std::uint64_t offset, ByteView data) override { file_.write_data(offset, data); }
  void complete() override {
    file_.sync();
    file_.publish();
    sync_folder(file_.final_path().parent_path());
  }

 private:
  OutputFile file_;
};

class FlatWriter final : public OrderedWriter {
 public:
  FlatWriter(const fs::path& out, const fs::path& extent, const OutputDisk& disk, const std::string& text,
             bool overwrite)
      : OrderedWriter(disk.size_bytes), descriptor_(out, overwrite), extent_(extent, overwrite) {
    descriptor_.write(0, as_bytes(text));
    extent_.resize(disk.size_bytes);
    add_output(out);
    add_output(extent);
  }

 protected:
  void put(std::uint64_t offset, ByteView data) override { extent_.write_data(offset, data); }
  void complete() override {
    extent_.sync();
    descriptor_.sync();
    extent_.publish();
    sync_folder(extent_.final_path().parent_path());
    descriptor_.publish();
    sync_folder(descriptor_.final_path().parent_path());
  }

 private:
  OutputFile descriptor_;
  OutputFile extent_;
};

fs::path flat_extent_path(const fs::path& out) {
  const std::string stem = out.extension() == ".vmdk" ? out.stem().string() : out.filename().string();
  return out.parent_path() / (stem + "-flat.vmdk");
}

std::unique_ptr<DiskWriter> create_flat_disk(const fs::path& out, const OutputDisk& disk, bool overwrite) {
  const fs::path extent = flat_extent_path(out);
  // Before anything is created: a partial file of a restore that did not begin would be in the next one's way.
  OutputFile::expect_free(extent, overwrite);
  const std::string text =
      output_descriptor(disk, {.create_type = "monolithicFlat", .type = "FLAT", .file_name = extent.filename()});
  return std::make_unique<FlatWriter>(out, extent, disk, text, overwrite);
}

}  // namespace

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
                                        bool overwrite) {
  if (disk.size_bytes == 0 || disk.size_bytes % 512 != 0 || disk.size_bytes > limits::disk_bytes_max)
    throw Error(ErrorCode::malformed, "a disk cannot have this size", out.string(),
                std::to_string(disk.size_bytes) + " bytes");
  switch (format) {
    case OutputFormat::flat: return create_flat_disk(out, disk, overwrite);
    case OutputFormat::sparse: return create_sparse_disk(out, disk, overwrite);
    case OutputFormat::stream: return create_stream_disk(out, disk, overwrite);
    case OutputFormat::raw: return std::make_unique<RawWriter>(out, disk.size_bytes, overwrite);
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
