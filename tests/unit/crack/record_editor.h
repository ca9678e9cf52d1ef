// RecordEditor: changes an MFT record of an image behind every file system's back, fixups put back.
#pragma once

#include <filesystem>
#include <optional>

#include "protocol/bytes.h"
#include "tests/unit/crack/cracked.h"

namespace vmferry::crack {

class RecordEditor {
 public:
  // `cracked` says where $MFT lies.
  RecordEditor(std::filesystem::path image, const Cracked& cracked, std::uint64_t record);

  Bytes bytes;  // the record, without fixups
  std::uint64_t volume_offset() const { return offset_; }
  // Offset of the first attribute of that type, non-resident or resident; throws where there is none.
  std::size_t attribute(std::uint32_t type) const;
  std::uint16_t get16(std::size_t at) const;
  std::uint32_t get32(std::size_t at) const;
  void put16(std::size_t at, std::uint16_t value);
  void put32(std::size_t at, std::uint32_t value);
  void put64(std::size_t at, std::uint64_t value);
  void save();

 private:
  std::filesystem::path image_;
  std::uint64_t offset_ = 0;
};

}  // namespace vmferry::crack
