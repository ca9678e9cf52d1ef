// MFT records: fixups, header and attributes. Views into a buffer that the caller keeps. Every number is hostile;
// functions throw Error{malformed} with a short reason ("an attribute is too long").
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "protocol/bytes.h"
#include "protocol/file_index.h"

namespace vmferry::crack {

enum AttributeType : std::uint32_t {
  attribute_standard_information = 0x10,
  attribute_list = 0x20,
  attribute_file_name = 0x30,
  attribute_security_descriptor = 0x50,
  attribute_volume_name = 0x60,
  attribute_volume_information = 0x70,
  attribute_data = 0x80,
  attribute_index_allocation = 0xa0,
  attribute_bitmap = 0xb0,
  attribute_reparse_point = 0xc0,
  attribute_end = 0xffffffff,
};

struct Attribute {
  std::uint32_t type = 0;
  std::uint16_t flags = 0;
  std::uint16_t instance = 0;
  bool resident = true;
  ByteView name;   // UTF-16LE
  ByteView value;  // of a resident attribute
  // Of a non-resident one. The sizes are those of the whole stream, in its first piece only.
  std::uint64_t lowest_vcn = 0;
  std::uint64_t end_vcn = 0;  // highest_vcn + 1
  ByteView mapping_pairs;
  std::uint64_t data_bytes = 0;
  std::uint64_t initialized_bytes = 0;
};

struct RecordHeader {
  std::uint16_t sequence = 0;
  std::uint16_t links = 0;
  bool in_use = false;
  bool directory = false;
  std::uint32_t first_attribute = 0;
  std::uint32_t used_bytes = 0;
  MftReference base = 0;  // 0: it is a base record itself
};

// Puts back the two last bytes of each 512, in place. False where the record is torn, or is none of `magic`.
bool apply_fixups(std::span<std::byte> record, std::string_view magic);

RecordHeader parse_record_header(ByteView record);

// Walks over a record's attributes: next() until it gives nothing.
class AttributeWalk {
 public:
  AttributeWalk(ByteView record, const RecordHeader& header)
      : record_(record.first(header.used_bytes)), at_(header.first_attribute) {}
  // Attributes alone, as log records hold them: no end mark needed.
  explicit AttributeWalk(ByteView attributes) : record_(attributes), at_(0), loose_(true) {}
  std::optional<Attribute> next();

 private:
  ByteView record_;
  std::size_t at_;
  bool loose_ = false;
};

std::u16string utf16_from(ByteView little_endian);

}  // namespace vmferry::crack
