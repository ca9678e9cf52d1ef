#include <algorithm>
#include <cstring>

#include "engine/crack/event_codec.h"
#include "engine/crack/event_tags.h"

namespace vmferry::crack {
namespace {

constexpr std::size_t runs_per_event = 4096;
constexpr std::size_t varint_bytes_max = 10;

}  // namespace

void EventWriter::room(std::size_t bytes) {
  if (begin_ != nullptr && static_cast<std::size_t>(end_ - at_) >= bytes) return;
  flush();
  const std::span<std::byte> buffer = buffers_.next_buffer();
  begin_ = at_ = buffer.data();
  end_ = begin_ + buffer.size();
}

void EventWriter::flush() {
  if (begin_ != nullptr) buffers_.give(static_cast<std::size_t>(at_ - begin_));
  begin_ = at_ = end_ = nullptr;
}

void EventWriter::u64(std::uint64_t value) {
  for (int i = 0; i < 8; ++i, value >>= 8) u8(static_cast<std::uint8_t>(value & 0xff));
}

void EventWriter::varint(std::uint64_t value) {
  while (value >= 0x80) {
    u8(static_cast<std::uint8_t>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  u8(static_cast<std::uint8_t>(value));
}

void EventWriter::text(std::string_view value) {
  varint(value.size());
  if (!value.empty()) std::memcpy(at_, value.data(), value.size());
  at_ += value.size();
}

void EventWriter::name(std::u16string_view value) {
  varint(value.size());
  for (const char16_t unit : value) {
    u8(static_cast<std::uint8_t>(unit & 0xff));
    u8(static_cast<std::uint8_t>(unit >> 8));
  }
}

void EventWriter::volume(const VolumeFacts& facts) {
  room(event_bytes_max);
  u8(static_cast<std::uint8_t>(EventTag::volume));
  text(std::string_view(facts.label).substr(0, 1024));
  u64(facts.serial);
  varint(facts.cluster_bytes);
  varint(facts.mft_record_bytes);
  varint(facts.clusters);
  u8(facts.major_version);
  u8(facts.minor_version);
  u8(static_cast<std::uint8_t>((facts.dirty ? fact_dirty : 0) | (facts.cleanly_closed ? fact_cleanly_closed : 0) |
                               (facts.log_readable ? fact_log_readable : 0) | (facts.hibernated ? fact_hibernated : 0) |
                               (facts.shadow_copies ? fact_shadow_copies : 0) |
                               (facts.mft_mirror_differs ? fact_mirror_differs : 0)));
}

void EventWriter::stream(const StreamEvent& event) {
  room(event_bytes_max);
  u8(static_cast<std::uint8_t>(EventTag::stream));
  const StreamEntry& stream = event.stream;
  u64(event.record);
  varint(stream.attribute_type);
  name(stream.name);
  varint(stream.flags);
  u8(stream.resident ? 1 : 0);
  varint(stream.data_bytes);
  varint(stream.initialized_bytes);
  u8(event.excludable);
  varint(stream.runs.size());
  for (std::size_t at = 0; at < stream.runs.size(); at += runs_per_event) {
    const std::size_t count = std::min(runs_per_event, stream.runs.size() - at);
    room(1 + (1 + 2 * count) * varint_bytes_max);
    u8(static_cast<std::uint8_t>(EventTag::runs));
    varint(count);
    for (std::size_t i = at; i < at + count; ++i) {
      varint(stream.runs[i].clusters);
      varint(stream.runs[i].lcn + 1);  // a hole is ~0: it becomes 0
    }
  }
}

void EventWriter::file(const NameEntry& entry) {
  room(event_bytes_max);
  u8(static_cast<std::uint8_t>(EventTag::file));
  u64(entry.parent);
  u64(entry.record);
  name(entry.name);
  u8(static_cast<std::uint8_t>((entry.is_directory ? 1 : 0) | (entry.is_short_name ? 2 : 0)));
  varint(entry.attributes);
  varint(entry.reparse_tag);
  varint(entry.data_bytes);
  u64(entry.times.created);
  u64(entry.times.modified);
  u64(entry.times.mft_changed);
  u64(entry.times.accessed);
}

void EventWriter::kept(std::uint64_t lcn, std::uint64_t clusters) {
  room(event_bytes_max);
  u8(static_cast<std::uint8_t>(EventTag::kept));
  varint(lcn);
  varint(clusters);
}

void EventWriter::allocated(std::uint64_t lcn, std::uint64_t clusters) {
  room(event_bytes_max);
  u8(static_cast<std::uint8_t>(EventTag::allocated));
  varint(lcn);
  varint(clusters);
}

void EventWriter::problem(std::string_view sentence) {
  if (problems_ == problems_max) return;
  ++problems_;
  room(event_bytes_max);
  u8(static_cast<std::uint8_t>(EventTag::problem));
  text(sentence.substr(0, problem_bytes_max));
}

void EventWriter::done(const VolumeTotals& totals) {
  room(event_bytes_max);
  u8(static_cast<std::uint8_t>(EventTag::done));
  varint(totals.files);
  varint(totals.directories);
  varint(totals.unreadable_records);
  varint(totals.overlapping_clusters);
}

void EventWriter::facts(const VolumeFiles::FileFacts& facts) {
  room(event_bytes_max);
  u8(static_cast<std::uint8_t>(EventTag::facts));
  varint(facts.data_bytes);
  varint(facts.attributes);
  varint(facts.reparse_tag);
  u64(facts.times.created);
  u64(facts.times.modified);
  u64(facts.times.mft_changed);
  u64(facts.times.accessed);
  varint(facts.named_streams);
  u8(static_cast<std::uint8_t>((facts.has_acl ? file_has_acl : 0) | (facts.encrypted ? file_encrypted : 0) |
                               (facts.sparse ? file_sparse : 0) | (facts.compressed ? file_compressed : 0)));
  text(std::string_view(facts.unreadable_because).substr(0, problem_bytes_max));
}

void EventWriter::piece(std::uint64_t file_offset, std::uint64_t volume_offset, std::uint64_t length) {
  room(event_bytes_max);
  u8(static_cast<std::uint8_t>(EventTag::piece));
  varint(file_offset);
  varint(volume_offset);
  varint(length);
}

void EventWriter::data(std::uint64_t file_offset, ByteView bytes) {
  while (!bytes.empty()) {
    const std::size_t part = std::min(bytes.size(), data_event_bytes_max);
    room(part + 1 + 2 * varint_bytes_max);
    u8(static_cast<std::uint8_t>(EventTag::data));
    varint(file_offset);
    varint(part);
    std::memcpy(at_, bytes.data(), part);
    at_ += part;
    file_offset += part;
    bytes = bytes.subspan(part);
  }
}

}  // namespace vmferry::crack
