// The writers behind create_disk, and what they share: the checks of write().
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "engine/disk/disk_writer.h"
#include "engine/disk/output_file.h"

namespace vmferry::disk {

class OrderedWriter : public DiskWriter {
 public:
  void write(std::uint64_t offset, std::span<const std::byte> data) final;
  void finish() final;
  const std::vector<std::filesystem::path>& outputs() const noexcept final { return outputs_; }

 protected:
  explicit OrderedWriter(std::uint64_t size_bytes) : size_bytes_(size_bytes) {}
  virtual void put(std::uint64_t offset, ByteView data) = 0;  // in the disk, in order, whole sectors
  virtual void complete() = 0;                                // makes it durable and names it

  std::uint64_t size_bytes() const noexcept { return size_bytes_; }
  void add_output(std::filesystem::path path) { outputs_.push_back(std::move(path)); }

 private:
  std::uint64_t size_bytes_;
  std::uint64_t written_to_ = 0;
  bool finished_ = false;
  std::vector<std::filesystem::path> outputs_;
};

// A file made of grains of 64 KiB: collects what comes into whole grains and leaves out those that are zeros.
class GrainWriter : public OrderedWriter {
 public:
  static constexpr std::uint64_t grain_bytes = 64 * 1024;
  static constexpr std::uint64_t grain_sectors = grain_bytes / 512;
  static constexpr std::uint64_t table_entries = 512;
  static constexpr std::uint64_t table_sectors = table_entries * 4 / 512;

 protected:
  explicit GrainWriter(std::uint64_t size_bytes) : OrderedWriter(size_bytes), grain_(grain_bytes) {}
  void put(std::uint64_t offset, ByteView data) final;
  void flush_grain();
  virtual void put_grain(std::uint64_t index, ByteView grain) = 0;  // whole, not zeros, in order

  std::uint64_t tables() const noexcept {
    return (size_bytes() + grain_bytes * table_entries - 1) / (grain_bytes * table_entries);
  }
  // Grain tables hold 32-bit sectors.
  static std::uint32_t table_entry(std::uint64_t sector, const OutputFile& file);

 private:
  Bytes grain_;
  std::uint64_t grain_index_ = 0;
  bool grain_used_ = false;
};

std::unique_ptr<DiskWriter> create_sparse_disk(const std::filesystem::path& out, const OutputDisk& disk,
                                               const Existing& existing);
std::unique_ptr<DiskWriter> create_stream_disk(const std::filesystem::path& out, const OutputDisk& disk,
                                               const Existing& existing);

}  // namespace vmferry::disk
