#include <algorithm>
#include <bit>

#include "engine/crack/event_codec.h"
#include "engine/crack/event_tags.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

[[noreturn]] void broken(const char* why) {
  throw Error(ErrorCode::malformed, "cannot crack the volume", {}, std::string("the cracker's events make no sense: ") + why);
}

void expect(bool holds, const char* why) {
  if (!holds) broken(why);
}

template <typename T>
T narrow(std::uint64_t value, const char* why) {
  expect(value <= static_cast<std::uint64_t>(~T{0}), why);
  return static_cast<T>(value);
}

std::u16string read_name(ByteReader& in) {
  const std::uint64_t units = in.varint();
  expect(units <= name_units_max, "a name is too long");
  const ByteView raw = in.bytes(2 * units);
  std::u16string name(static_cast<std::size_t>(units), u'\0');
  for (std::size_t i = 0; i < name.size(); ++i) {
    name[i] = static_cast<char16_t>(std::to_integer<unsigned>(raw[2 * i]) | std::to_integer<unsigned>(raw[2 * i + 1]) << 8);
  }
  return name;
}

std::string read_text(ByteReader& in, std::size_t length_max) {
  std::string text(in.string(length_max));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

NtfsTimes read_times(ByteReader& in) {
  NtfsTimes times;
  times.created = in.u64();
  times.modified = in.u64();
  times.mft_changed = in.u64();
  times.accessed = in.u64();
  return times;
}

}  // namespace

void EventDecoder::feed(ByteView buffer) {
  ByteReader in(buffer, "the cracker's events");
  while (!in.at_end()) decode_one(in);
}

void EventDecoder::finish() const { expect(done_, "they end too early"); }

void EventDecoder::decode_one(ByteReader& in) {
  const auto tag = static_cast<EventTag>(in.u8());
  expect(!done_, "something follows the end");
  expect(facts_.has_value() == (tag != EventTag::volume), "the volume comes first, and once");
  expect(!stream_ || tag == EventTag::runs, "a stream lacks runs");
  switch (tag) {
    case EventTag::volume: return decode_volume(in);
    case EventTag::stream: return decode_stream(in);
    case EventTag::runs: return decode_runs(in);
    case EventTag::file: return decode_file(in);
    case EventTag::kept: return decode_range(in, true);
    case EventTag::allocated: return decode_range(in, false);
    case EventTag::problem: {
      expect(problems_.size() < problems_max, "too many problems");
      problems_.push_back(read_text(in, problem_bytes_max));
      return;
    }
    case EventTag::done: return decode_done(in);
    default: broken("an unknown event");
  }
}

void EventDecoder::decode_volume(ByteReader& in) {
  VolumeFacts facts;
  facts.label = read_text(in, 1024);
  facts.serial = in.u64();
  facts.cluster_bytes = narrow<std::uint32_t>(in.varint(), "the cluster size");
  facts.mft_record_bytes = narrow<std::uint32_t>(in.varint(), "the MFT record size");
  facts.clusters = in.varint();
  facts.major_version = in.u8();
  facts.minor_version = in.u8();
  const std::uint8_t bits = in.u8();
  facts.dirty = (bits & fact_dirty) != 0;
  facts.cleanly_closed = (bits & fact_cleanly_closed) != 0;
  facts.log_readable = (bits & fact_log_readable) != 0;
  facts.hibernated = (bits & fact_hibernated) != 0;
  facts.shadow_copies = (bits & fact_shadow_copies) != 0;
  facts.mft_mirror_differs = (bits & fact_mirror_differs) != 0;
  expect(std::has_single_bit(facts.cluster_bytes) && facts.cluster_bytes >= 512 && facts.cluster_bytes <= (2U << 20),
         "the cluster size");
  expect(std::has_single_bit(facts.mft_record_bytes) && facts.mft_record_bytes >= 512 && facts.mft_record_bytes <= 65536,
         "the MFT record size");
  expect(facts.clusters > 0 && facts.clusters <= volume_bytes_ / facts.cluster_bytes, "the number of clusters");
  sink_.volume(facts);
  facts_ = std::move(facts);
}

void EventDecoder::decode_stream(ByteReader& in) {
  expect(!allocated_seen_, "a stream after the allocated clusters");
  StreamEvent event;
  event.record = in.u64();
  event.stream.attribute_type = narrow<std::uint32_t>(in.varint(), "an attribute type");
  event.stream.name = read_name(in);
  event.stream.flags = narrow<std::uint16_t>(in.varint(), "attribute flags");
  const std::uint8_t resident = in.u8();
  expect(resident <= 1, "a flag");
  event.stream.resident = resident != 0;
  event.stream.data_bytes = in.varint();
  event.stream.initialized_bytes = in.varint();
  event.excludable = in.u8();
  const std::uint64_t runs = in.varint();
  const std::uint64_t record = mft_record_number(event.record);
  expect(!last_record_ || record >= *last_record_, "records out of order");
  last_record_ = record;
  expect(event.excludable <= 2, "an exclusion");
  expect(event.stream.initialized_bytes <= event.stream.data_bytes, "more initialized bytes than bytes");
  expect(runs <= runs_per_stream_max, "too many runs");
  expect(!event.stream.resident || runs == 0, "a resident stream with runs");
  stream_ = std::move(event);
  stream_runs_missing_ = runs;
  stream_clusters_ = 0;
  give_stream_if_whole();
}

void EventDecoder::decode_runs(ByteReader& in) {
  expect(stream_.has_value(), "runs without a stream");
  const std::uint64_t count = in.varint();
  expect(count > 0 && count <= stream_runs_missing_, "too many runs");
  std::vector<StreamRun>& runs = stream_->stream.runs;
  for (std::uint64_t i = 0; i < count; ++i) {
    StreamRun run;
    run.clusters = in.varint();
    run.lcn = in.varint() - 1;
    expect(run.clusters > 0, "an empty run");
    expect(run.lcn == StreamRun::run_hole || range_fits(run.lcn, run.clusters, facts_->clusters), "a run outside the volume");
    stream_clusters_ = checked_add(stream_clusters_, run.clusters, "a stream's runs");
    runs.push_back(run);
  }
  expect(stream_clusters_ <= (std::uint64_t{1} << 63) / facts_->cluster_bytes, "a stream's runs are too long");
  stream_runs_missing_ -= count;
  give_stream_if_whole();
}

void EventDecoder::give_stream_if_whole() {
  if (stream_runs_missing_ > 0) return;
  const StreamEntry& stream = stream_->stream;
  expect(stream.resident || stream.data_bytes <= stream_clusters_ * facts_->cluster_bytes,
         "a stream is longer than its runs");
  sink_.stream(*stream_);
  stream_.reset();
}

void EventDecoder::decode_file(ByteReader& in) {
  expect(!allocated_seen_, "a file after the allocated clusters");
  NameEntry entry;
  entry.parent = in.u64();
  entry.record = in.u64();
  entry.name = read_name(in);
  const std::uint8_t bits = in.u8();
  entry.is_directory = (bits & 1) != 0;
  entry.is_short_name = (bits & 2) != 0;
  entry.attributes = narrow<std::uint32_t>(in.varint(), "file attributes");
  entry.reparse_tag = narrow<std::uint32_t>(in.varint(), "a reparse tag");
  entry.data_bytes = in.varint();
  entry.times = read_times(in);
  expect(!entry.name.empty() && bits <= 3, "a name");
  sink_.file(entry);
}

void EventDecoder::decode_range(ByteReader& in, bool kept) {
  const std::uint64_t lcn = in.varint();
  const std::uint64_t clusters = in.varint();
  expect(clusters > 0 && range_fits(lcn, clusters, facts_->clusters), "clusters outside the volume");
  if (kept) {
    expect(!allocated_seen_, "kept clusters after the allocated ones");
    sink_.kept(lcn, clusters);
    return;
  }
  expect(lcn >= allocated_end_, "allocated clusters out of order");
  allocated_seen_ = true;
  allocated_end_ = lcn + clusters;
  sink_.allocated(lcn, clusters);
}

void EventDecoder::decode_done(ByteReader& in) {
  VolumeTotals totals;
  totals.files = in.varint();
  totals.directories = in.varint();
  totals.unreadable_records = in.varint();
  totals.overlapping_clusters = in.varint();
  totals.problems = std::move(problems_);
  done_ = true;
  sink_.done(totals);
}

void FileAnswerDecoder::advance_to(std::uint64_t file_offset, std::uint64_t length) {
  expect(length > 0 && file_offset >= at_, "a file's bytes out of order");
  at_ = checked_add(file_offset, length, "a file's bytes");
  expect(at_ < std::uint64_t{1} << 63, "a file's bytes end too late");
}

void FileAnswerDecoder::feed(ByteView buffer) {
  ByteReader in(buffer, "the cracker's answer");
  while (!in.at_end()) {
    switch (static_cast<EventTag>(in.u8())) {
      case EventTag::piece: {
        const std::uint64_t file_offset = in.varint(), volume_offset = in.varint(), length = in.varint();
        expect(range_fits(volume_offset, length, volume_bytes_), "a piece outside the volume");
        advance_to(file_offset, length);
        expect(static_cast<bool>(use_.piece), "a piece that nobody asked for");
        use_.piece(file_offset, volume_offset, length);
        break;
      }
      case EventTag::data: {
        const std::uint64_t file_offset = in.varint(), length = in.varint();
        expect(length <= data_event_bytes_max, "too much data at once");
        const ByteView bytes = in.bytes(length);
        advance_to(file_offset, length);
        expect(static_cast<bool>(use_.data), "data that nobody asked for");
        use_.data(file_offset, bytes);
        break;
      }
      case EventTag::facts: {
        expect(!facts_, "two answers to one question");
        VolumeFiles::FileFacts facts;
        facts.data_bytes = in.varint();
        facts.attributes = narrow<std::uint32_t>(in.varint(), "file attributes");
        facts.reparse_tag = narrow<std::uint32_t>(in.varint(), "a reparse tag");
        facts.times = read_times(in);
        facts.named_streams = narrow<std::uint32_t>(in.varint(), "the number of streams");
        const std::uint8_t bits = in.u8();
        facts.has_acl = (bits & file_has_acl) != 0;
        facts.encrypted = (bits & file_encrypted) != 0;
        facts.sparse = (bits & file_sparse) != 0;
        facts.compressed = (bits & file_compressed) != 0;
        facts.unreadable_because = read_text(in, problem_bytes_max);
        facts_ = std::move(facts);
        break;
      }
      default: broken("an unknown answer");
    }
  }
}

}  // namespace vmferry::crack
