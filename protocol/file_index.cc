#include "protocol/file_index.h"

#include <stdexcept>
#include <utility>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry {
namespace {

constexpr char name_kind = 'N';
constexpr char record_kind = 'R';
constexpr std::size_t name_units_max = 255;
constexpr std::uint64_t record_number_max = 0xffffffffffffULL;
constexpr std::uint64_t clusters_max = std::uint64_t{1} << 60;  // of a volume, so that sums cannot wrap

constexpr std::uint8_t name_is_directory = 1;
constexpr std::uint8_t name_is_short = 2;
constexpr std::uint8_t record_more_parts = 1;
constexpr std::uint8_t record_continues = 2;
constexpr std::uint8_t stream_resident = 1;

[[noreturn]] void throw_bad_entry(std::string_view why) {
  throw Error(ErrorCode::malformed, "cannot read a file index entry", {}, std::string(why));
}

constexpr std::uint64_t sequence_of(MftReference reference) { return reference >> 48; }
constexpr MftReference make_reference(std::uint64_t number, std::uint64_t sequence) { return sequence << 48 | number; }

// Small differences, up or down, as small numbers.
constexpr std::uint64_t zigzag(std::uint64_t difference) {
  return (difference << 1) ^ (std::uint64_t{0} - (difference >> 63));
}
constexpr std::uint64_t unzigzag(std::uint64_t coded) { return (coded >> 1) ^ (std::uint64_t{0} - (coded & 1)); }

std::uint64_t take_at_most(ByteReader& in, std::uint64_t most, std::string_view what) {
  const std::uint64_t value = in.varint();
  if (value > most) throw_bad_entry(what);
  return value;
}

void put_units_big_endian(ByteWriter& out, std::u16string_view units) {
  for (const char16_t unit : units) {
    out.u8(static_cast<std::uint8_t>(unit >> 8));
    out.u8(static_cast<std::uint8_t>(unit & 0xff));
  }
}

void put_units(ByteWriter& out, std::u16string_view units) {
  for (const char16_t unit : units) out.u16(unit);
}

std::u16string take_units(ByteReader& in, std::size_t count) {
  std::u16string units(count, u'\0');
  for (char16_t& unit : units) unit = static_cast<char16_t>(in.u16());
  return units;
}

void put_name_prefix(ByteWriter& out, MftReference parent) {
  // The record number first, so that what was created together lies together; it is the high 6 bytes.
  out.u8(static_cast<std::uint8_t>(name_kind));
  out.u64_big_endian(mft_record_number(parent) << 16 | sequence_of(parent));
}

void put_run(ByteWriter& out, const StreamRun& run, std::uint64_t& lcn_before) {
  if (run.clusters == 0 || run.clusters > clusters_max || (run.lcn != StreamRun::run_hole && run.lcn > clusters_max))
    throw std::logic_error("an impossible run of a stream");
  const bool hole = run.lcn == StreamRun::run_hole;
  out.varint(run.clusters << 1 | (hole ? 1 : 0));
  if (hole) return;
  out.varint(zigzag(run.lcn - lcn_before));
  lcn_before = run.lcn;
}

std::vector<StreamRun> take_runs(ByteReader& in) {
  const std::uint64_t count = in.varint();
  if (count > in.rest().size()) throw_bad_entry("more runs than bytes");
  std::vector<StreamRun> runs(static_cast<std::size_t>(count));
  std::uint64_t lcn = 0;
  std::uint64_t clusters_sum = 0;
  for (StreamRun& run : runs) {
    const std::uint64_t coded = in.varint();
    run.clusters = coded >> 1;
    if (run.clusters == 0 || run.clusters > clusters_max - clusters_sum) throw_bad_entry("bad length of a run");
    clusters_sum += run.clusters;
    if ((coded & 1) != 0) {
      run.lcn = StreamRun::run_hole;
      continue;
    }
    lcn += unzigzag(in.varint());
    if (lcn > clusters_max) throw_bad_entry("bad place of a run");
    run.lcn = lcn;
  }
  return runs;
}

void put_stream(ByteWriter& out, const StreamEntry& stream) {
  if (stream.name.size() > name_units_max) throw std::logic_error("a stream's name is too long");
  out.varint(stream.attribute_type);
  out.varint(stream.name.size());
  put_units(out, stream.name);
  out.varint(stream.flags);
  out.u8(stream.resident ? stream_resident : 0);
  out.varint(stream.data_bytes);
  out.varint(stream.initialized_bytes);
  out.varint(stream.runs.size());
  std::uint64_t lcn = 0;
  for (const StreamRun& run : stream.runs) put_run(out, run, lcn);
}

StreamEntry take_stream(ByteReader& in) {
  StreamEntry stream;
  stream.attribute_type = static_cast<std::uint32_t>(take_at_most(in, 0xffffffff, "bad attribute type"));
  const std::uint64_t name_units = take_at_most(in, name_units_max, "a stream's name is too long");
  stream.name = take_units(in, static_cast<std::size_t>(name_units));
  stream.flags = static_cast<std::uint16_t>(take_at_most(in, 0xffff, "bad stream flags"));
  const std::uint8_t bits = in.u8();
  if (bits > stream_resident) throw_bad_entry("unknown bits of a stream");
  stream.resident = bits == stream_resident;
  stream.data_bytes = in.varint();
  stream.initialized_bytes = in.varint();
  stream.runs = take_runs(in);
  return stream;
}

}  // namespace

Bytes name_key(MftReference parent, std::u16string_view upcased, std::u16string_view exact) {
  if (exact.empty() || exact.size() > name_units_max || upcased.size() != exact.size())
    throw std::logic_error("a file's name has 1 to 255 units, upcased as many");
  ByteWriter out;
  put_name_prefix(out, parent);
  put_units_big_endian(out, upcased);
  out.u16(0);
  put_units(out, exact);
  return std::move(out).take();
}

bool is_name_key(ByteView key) { return !key.empty() && key[0] == static_cast<std::byte>(name_kind); }

Bytes name_prefix(MftReference parent) {
  ByteWriter out;
  put_name_prefix(out, parent);
  return std::move(out).take();
}

Bytes name_prefix(MftReference parent, std::u16string_view upcased) {
  ByteWriter out;
  put_name_prefix(out, parent);
  put_units_big_endian(out, upcased);
  out.u16(0);
  return std::move(out).take();
}

Bytes record_key(MftReference record, std::uint16_t part) {
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>(record_kind));
  out.u64_big_endian(mft_record_number(record));
  out.u8(static_cast<std::uint8_t>(part >> 8));
  out.u8(static_cast<std::uint8_t>(part & 0xff));
  return std::move(out).take();
}

Bytes encode_name(const NameEntry& entry) {
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>((entry.is_directory ? name_is_directory : 0) |
                                   (entry.is_short_name ? name_is_short : 0)));
  out.varint(mft_record_number(entry.record));
  out.varint(sequence_of(entry.record));
  out.varint(entry.attributes);
  out.varint(entry.reparse_tag);
  out.varint(entry.data_bytes);
  // Times of one file are near each other, and often the same.
  out.u64(entry.times.created);
  out.varint(zigzag(entry.times.modified - entry.times.created));
  out.varint(zigzag(entry.times.mft_changed - entry.times.modified));
  out.varint(zigzag(entry.times.accessed - entry.times.mft_changed));
  return std::move(out).take();
}

NameEntry decode_name(ByteView key, ByteView value) {
  NameEntry entry;
  ByteReader key_in(key, "a file index key");
  if (key_in.u8() != static_cast<std::uint8_t>(name_kind)) throw_bad_entry("not a name");
  const std::uint64_t parent = key_in.u64_big_endian();
  entry.parent = make_reference(parent >> 16, parent & 0xffff);
  // The upcased name and the exact one have the same length.
  const std::size_t rest_bytes = key_in.rest().size();
  if (rest_bytes < 6 || rest_bytes % 4 != 2) throw_bad_entry("bad length of a name");
  const std::size_t units = (rest_bytes - 2) / 4;
  if (units > name_units_max) throw_bad_entry("a name is too long");
  key_in.bytes(2 * units);
  if (key_in.u16() != 0) throw_bad_entry("a name without its separator");
  entry.name = take_units(key_in, units);

  ByteReader in(value, "a file index entry");
  const std::uint8_t bits = in.u8();
  if (bits > (name_is_directory | name_is_short)) throw_bad_entry("unknown bits of a name");
  entry.is_directory = (bits & name_is_directory) != 0;
  entry.is_short_name = (bits & name_is_short) != 0;
  const std::uint64_t number = take_at_most(in, record_number_max, "bad MFT record number");
  entry.record = make_reference(number, take_at_most(in, 0xffff, "bad MFT sequence number"));
  entry.attributes = static_cast<std::uint32_t>(take_at_most(in, 0xffffffff, "bad file attributes"));
  entry.reparse_tag = static_cast<std::uint32_t>(take_at_most(in, 0xffffffff, "bad reparse tag"));
  entry.data_bytes = in.varint();
  entry.times.created = in.u64();
  entry.times.modified = entry.times.created + unzigzag(in.varint());
  entry.times.mft_changed = entry.times.modified + unzigzag(in.varint());
  entry.times.accessed = entry.times.mft_changed + unzigzag(in.varint());
  in.expect_end();
  return entry;
}

Bytes encode_record(const RecordEntry& entry) {
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>((entry.more_parts ? record_more_parts : 0) |
                                   (entry.continues ? record_continues : 0)));
  out.varint(sequence_of(entry.record));
  out.varint(entry.links);
  out.varint(entry.streams.size());
  for (const StreamEntry& stream : entry.streams) put_stream(out, stream);
  return std::move(out).take();
}

RecordEntry decode_record(ByteView key, ByteView value) {
  RecordEntry entry;
  ByteReader key_in(key, "a file index key");
  if (key_in.u8() != static_cast<std::uint8_t>(record_kind)) throw_bad_entry("not a record");
  const std::uint64_t number = key_in.u64_big_endian();
  if (number > record_number_max) throw_bad_entry("bad MFT record number");
  const unsigned part_high = key_in.u8();
  entry.part = static_cast<std::uint16_t>(part_high << 8 | key_in.u8());
  key_in.expect_end();

  ByteReader in(value, "a file index entry");
  const std::uint8_t bits = in.u8();
  if (bits > (record_more_parts | record_continues)) throw_bad_entry("unknown bits of a record");
  entry.more_parts = (bits & record_more_parts) != 0;
  entry.continues = (bits & record_continues) != 0;
  entry.record = make_reference(number, take_at_most(in, 0xffff, "bad MFT sequence number"));
  entry.links = static_cast<std::uint16_t>(take_at_most(in, 0xffff, "bad number of links"));
  const std::uint64_t count = in.varint();
  if (count > in.rest().size()) throw_bad_entry("more streams than bytes");
  for (std::uint64_t i = 0; i < count; ++i) entry.streams.push_back(take_stream(in));
  in.expect_end();
  if (entry.continues && (entry.part == 0 || entry.streams.empty())) throw_bad_entry("nothing to continue");
  return entry;
}

}  // namespace vmferry
