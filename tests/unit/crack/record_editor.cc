#include "tests/unit/crack/record_editor.h"

#include <cstring>
#include <stdexcept>

namespace vmferry::crack {

RecordEditor::RecordEditor(std::filesystem::path image, const Cracked& cracked, std::uint64_t record)
    : image_(std::move(image)) {
  std::uint64_t at = record * cracked.facts->mft_record_bytes;
  for (const StreamEvent& event : cracked.streams) {
    if (mft_record_number(event.record) != 0 || event.stream.attribute_type != 0x80) continue;
    for (const StreamRun& run : event.stream.runs) {
      const std::uint64_t run_bytes = run.clusters * cracked.facts->cluster_bytes;
      if (at < run_bytes) {
        offset_ = run.lcn * cracked.facts->cluster_bytes + at;
        break;
      }
      at -= run_bytes;
    }
  }
  bytes = read_at(image_, offset_, cracked.facts->mft_record_bytes);
  const std::size_t fixups = get16(4);
  for (std::size_t i = 0; i < bytes.size() / 512; ++i) {
    std::memcpy(bytes.data() + (i + 1) * 512 - 2, bytes.data() + fixups + 2 * (i + 1), 2);
  }
}

std::size_t RecordEditor::attribute(std::uint32_t type) const {
  for (std::size_t at = get16(0x14); get32(at) != 0xffffffff; at += get32(at + 4)) {
    if (get32(at) == type) return at;
  }
  throw std::runtime_error("no such attribute");
}

std::uint16_t RecordEditor::get16(std::size_t at) const {
  std::uint16_t value;
  std::memcpy(&value, bytes.data() + at, 2);
  return value;
}

std::uint32_t RecordEditor::get32(std::size_t at) const {
  std::uint32_t value;
  std::memcpy(&value, bytes.data() + at, 4);
  return value;
}

void RecordEditor::put16(std::size_t at, std::uint16_t value) { std::memcpy(bytes.data() + at, &value, 2); }
void RecordEditor::put32(std::size_t at, std::uint32_t value) { std::memcpy(bytes.data() + at, &value, 4); }
void RecordEditor::put64(std::size_t at, std::uint64_t value) { std::memcpy(bytes.data() + at, &value, 8); }

void RecordEditor::save() {
  Bytes torn = bytes;
  const std::size_t fixups = get16(4);
  for (std::size_t i = 0; i < torn.size() / 512; ++i) {
    std::memcpy(torn.data() + fixups + 2 * (i + 1), torn.data() + (i + 1) * 512 - 2, 2);
    std::memcpy(torn.data() + (i + 1) * 512 - 2, torn.data() + fixups, 2);
  }
  write_at(image_, offset_, torn);
}

}  // namespace vmferry::crack
