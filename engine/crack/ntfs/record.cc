#include "engine/crack/ntfs/record.h"

#include <cstring>

#include "engine/crack/ntfs/little_endian.h"
#include "engine/crack/ntfs/require.h"
#include "protocol/byte_range.h"

namespace vmferry::crack {
namespace {

constexpr std::size_t fixup_block_bytes = 512;  // whatever the sector size is
constexpr std::size_t header_bytes = 0x2a;
constexpr std::size_t resident_header_bytes = 0x18;
constexpr std::size_t non_resident_header_bytes = 0x40;

}  // namespace

bool apply_fixups(std::span<std::byte> record, std::string_view magic) {
  if (record.size() % fixup_block_bytes != 0 || as_text(record).substr(0, 4) != magic) return false;
  const std::size_t offset = le16(record, 4), count = le16(record, 6);
  const std::size_t blocks = record.size() / fixup_block_bytes;
  if (count != blocks + 1 || offset % 2 != 0 || !range_fits(offset, 2 * count, record.size())) return false;
  const std::uint16_t mark = le16(record, offset);
  for (std::size_t i = 0; i < blocks; ++i) {
    std::byte* last = record.data() + (i + 1) * fixup_block_bytes - 2;
    if (std::memcmp(last, &mark, 2) != 0) return false;
    std::memcpy(last, record.data() + offset + 2 * (i + 1), 2);
  }
  return true;
}

RecordHeader parse_record_header(ByteView record) {
  require(record.size() >= header_bytes, "the record is too short");
  RecordHeader header;
  header.sequence = le16(record, 0x10);
  header.links = le16(record, 0x12);
  header.first_attribute = le16(record, 0x14);
  const std::uint16_t flags = le16(record, 0x16);
  header.in_use = (flags & 1) != 0;
  header.directory = (flags & 2) != 0;
  header.used_bytes = le32(record, 0x18);
  header.base = le64(record, 0x20);
  if (!header.in_use) return header;
  require(header.used_bytes <= record.size(), "the record's used size is larger than the record");
  require(header.first_attribute >= header_bytes && header.first_attribute % 8 == 0 &&
              header.first_attribute < header.used_bytes,
          "the record's attributes begin outside it");
  return header;
}

std::optional<Attribute> AttributeWalk::next() {
  if (at_ == record_.size() && loose_) return std::nullopt;
  require(range_fits(at_, 4, record_.size()), "the record's attributes have no end");
  const std::uint32_t type = le32(record_, at_);
  if (type == attribute_end) return std::nullopt;
  require(range_fits(at_, resident_header_bytes - 2, record_.size()), "an attribute is cut off");
  const std::size_t length = le32(record_, at_ + 4);
  require(length >= resident_header_bytes && length % 8 == 0 && range_fits(at_, length, record_.size()),
          "an attribute's length is wrong");
  const ByteView raw = record_.subspan(at_, length);
  at_ += length;

  Attribute attribute;
  attribute.type = type;
  attribute.resident = raw[8] == std::byte{0};
  attribute.flags = le16(raw, 0x0c);
  attribute.instance = le16(raw, 0x0e);
  const std::size_t name_bytes = 2 * std::to_integer<std::size_t>(raw[9]), name_offset = le16(raw, 0x0a);
  if (name_bytes > 0) {
    require(range_fits(name_offset, name_bytes, length), "an attribute's name lies outside it");
    attribute.name = raw.subspan(name_offset, name_bytes);
  }
  if (attribute.resident) {
    const std::size_t value_bytes = le32(raw, 0x10), value_offset = le16(raw, 0x14);
    require(range_fits(value_offset, value_bytes, length), "an attribute's value lies outside it");
    attribute.value = raw.subspan(value_offset, value_bytes);
    return attribute;
  }
  require(length >= non_resident_header_bytes, "an attribute is too short");
  attribute.lowest_vcn = le64(raw, 0x10);
  const std::uint64_t highest_vcn = le64(raw, 0x18);
  attribute.end_vcn = highest_vcn + 1;  // -1 + 1 == 0: nothing is allocated
  require(attribute.end_vcn < (std::uint64_t{1} << 54) && attribute.lowest_vcn <= attribute.end_vcn,
          "an attribute's cluster numbers make no sense");
  const std::size_t pairs_offset = le16(raw, 0x20);
  require(pairs_offset >= 0x18 && pairs_offset <= length, "an attribute's runs lie outside it");
  attribute.mapping_pairs = raw.subspan(pairs_offset);
  if (attribute.lowest_vcn == 0) {
    attribute.data_bytes = le64(raw, 0x30);
    attribute.initialized_bytes = le64(raw, 0x38);
    require(attribute.data_bytes < std::uint64_t{1} << 63, "an attribute's size makes no sense");
  }
  return attribute;
}

std::u16string utf16_from(ByteView little_endian) {
  std::u16string text(little_endian.size() / 2, u'\0');
  if (!text.empty()) std::memcpy(text.data(), little_endian.data(), 2 * text.size());
  return text;
}

}  // namespace vmferry::crack
