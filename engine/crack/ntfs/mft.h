// Mft: $MFT as a stream of records: finds all of its own runs (a fragmented $MFT has an attribute list in itself)
// and reads records, one by one or in bulk. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "engine/crack/ntfs/boot_sector.h"
#include "engine/crack/ntfs/record.h"
#include "engine/crack/ntfs/runs.h"
#include "engine/crack/volume_reader.h"

namespace vmferry::crack {

class Mft {
 public:
  // Throws Error{malformed} where record 0 or $MFT's runs cannot be read: then there is nothing to crack.
  Mft(VolumeReader& volume, const BootSector& boot);

  const BootSector& boot() const { return boot_; }
  VolumeReader& volume() { return volume_; }
  std::uint64_t records() const { return records_; }

  // Reads a record into `record` (mft_record_bytes), fixups applied. False where it is torn or no record.
  bool read_record(std::uint64_t number, std::span<std::byte> record);
  // All records in order, in whole batches, fixups not yet applied; the next batch is on its way meanwhile.
  void for_each_batch(const std::function<void(std::uint64_t first, std::span<std::byte> records)>& use);
  // $MFT's own $BITMAP; true where it cannot tell.
  bool marked_in_use(std::uint64_t number);
  // Raw bytes of $MFT.
  RunReader& bytes() { return data_; }

 private:
  VolumeReader& volume_;
  BootSector boot_;
  RunReader data_;
  std::uint64_t records_ = 0;
  std::optional<RunReader> bitmap_;
  Bytes bitmap_resident_;
  Bytes bitmap_window_;
  std::uint64_t bitmap_window_at_ = ~std::uint64_t{0};
};

}  // namespace vmferry::crack
