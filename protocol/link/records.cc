#include "protocol/link/records.h"

#include <algorithm>

#include "protocol/link/link.h"

namespace vmferry::link {
namespace {

constexpr std::uint32_t flag_create = 1;
constexpr std::size_t hello_fixed_bytes = 16 + 32 + 4 + 4 + 8 + 8 + 8 + 4 + 4;

template <typename T>
void put(Bytes& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<std::byte>((value >> (8 * i)) & 0xff));
}
void put_bytes(Bytes& out, ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

void put_header(Bytes& out, RecordType type, std::size_t length, std::uint64_t number) {
  put(out, static_cast<std::uint8_t>(type));
  put(out, std::uint8_t{0});
  put(out, std::uint16_t{0});
  put(out, static_cast<std::uint32_t>(length));
  put(out, number);
}

void put_standing(Bytes& out, const Standing& standing) {
  put(out, standing.limit);
  put(out, standing.window);
  put(out, static_cast<std::uint32_t>(standing.hear_within.count()));
}

void read_standing(ByteReader& reader, Standing& standing) {
  standing.limit = reader.u64();
  standing.window = reader.u64();
  standing.hear_within = std::chrono::milliseconds(reader.u32());
  if (standing.window < window_bytes_min || standing.window > window_bytes_max)
    malformed("a window of " + std::to_string(standing.window) + " bytes");
  if (standing.limit > standing.received && standing.limit - standing.received > standing.window)
    malformed("a limit past its window");
  if (standing.hear_within < hear_within_min) malformed("a line must be heard on more often than it can");
}

// Code and sentence, as refuse and abort have them.
Bytes reason(ErrorCode code, const std::string& sentence) {
  ByteWriter writer;
  writer.string(error_code_name(code));
  writer.string(harmless(sentence));
  return std::move(writer).take();
}

Error read_reason(ByteReader& reader) {
  constexpr std::size_t code_bytes_max = 32;
  const ErrorCode code = error_code_from_name(reader.string(code_bytes_max));
  return Error(code, harmless(reader.string(sentence_bytes_max)));
}

bool has_number(RecordType type) {
  return type == RecordType::welcome || type == RecordType::data || type == RecordType::ack || type == RecordType::finish;
}

}  // namespace

void malformed(std::string why) { throw Error(ErrorCode::malformed, "the peer broke the link's protocol", {}, why); }

std::string harmless(std::string_view sentence) {
  std::string text(sentence.substr(0, sentence_bytes_max));
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return text;
}

std::size_t payload_bytes_max(RecordType type) noexcept {
  switch (type) {
    case RecordType::data: return page_bytes;
    case RecordType::ping:
    case RecordType::finish: return 0;
    case RecordType::ack: return 8;
    case RecordType::welcome:
    case RecordType::refuse:
    case RecordType::abort:
    case RecordType::note: return control_bytes_max;
  }
  return 0;
}

void put_hello(Bytes& out, const Hello& hello) {
  put(out, hello_magic);
  put(out, hello.major);
  put(out, hello.minor);
  put(out, static_cast<std::uint32_t>(hello_fixed_bytes + 4 * hello.lines_alive.size()));
  put(out, std::uint32_t{0});
  put_bytes(out, hello.link.view());
  put_bytes(out, hello.secret);
  put(out, hello.create ? flag_create : std::uint32_t{0});
  put(out, hello.line);
  put(out, hello.standing.received);
  put_standing(out, hello.standing);
  put(out, static_cast<std::uint32_t>(hello.lines_alive.size()));
  for (const std::uint32_t line : hello.lines_alive) put(out, line);
}

void put_welcome(Bytes& out, const Welcome& welcome) {
  put_header(out, RecordType::welcome, 28, welcome.standing.received);
  put(out, welcome.major);
  put(out, welcome.minor);
  put_standing(out, welcome.standing);
  put(out, welcome.lines_max);
}

void put_refuse(Bytes& out, ErrorCode code, const std::string& sentence) {
  const Bytes why = reason(code, sentence);
  put_header(out, RecordType::refuse, 4 + why.size(), 0);
  put(out, version_major);
  put(out, version_minor);
  put_bytes(out, why);
}

void put_data_header(Bytes& out, std::uint64_t position, std::size_t length) {
  put_header(out, RecordType::data, length, position);
}

void put_ack(Bytes& out, std::uint64_t received, std::uint64_t limit) {
  put_header(out, RecordType::ack, 8, received);
  put(out, limit);
}

void put_ping(Bytes& out) { put_header(out, RecordType::ping, 0, 0); }

void put_finish(Bytes& out, std::uint64_t position) { put_header(out, RecordType::finish, 0, position); }

void put_abort(Bytes& out, ErrorCode code, const std::string& sentence) {
  const Bytes why = reason(code, sentence);
  put_header(out, RecordType::abort, why.size(), 0);
  put_bytes(out, why);
}

void put_note(Bytes& out, const std::string& sentence) {
  const std::string text = harmless(sentence);
  put_header(out, RecordType::note, text.size(), 0);
  put_bytes(out, as_bytes(text));
}

RecordHeader parse_header(ByteView sixteen) {
  ByteReader reader(sixteen, "a link's record");
  RecordHeader header;
  const unsigned type = reader.u8();
  header.type = static_cast<RecordType>(type);
  const unsigned spare = reader.u8() | reader.u16();
  header.length = reader.u32();
  header.number = reader.u64();
  reader.expect_end();
  if (type < static_cast<unsigned>(RecordType::welcome) || type > static_cast<unsigned>(RecordType::note))
    malformed("record type " + std::to_string(type) + " is unknown");
  if (spare != 0) malformed("a record's reserved bits are set");
  if (header.length > payload_bytes_max(header.type))
    malformed("a record of " + std::to_string(header.length) + " bytes is past its limit");
  if (header.type == RecordType::ack && header.length != payload_bytes_max(header.type))
    malformed("an ack is too short");
  if (!has_number(header.type) && header.number != 0) malformed("a record's reserved bits are set");
  return header;
}

HelloHeader parse_hello_header(ByteView sixteen) {
  ByteReader reader(sixteen, "a link's hello");
  if (reader.u32() != hello_magic) malformed("it does not begin as a link");
  HelloHeader header;
  header.major = reader.u16();
  header.minor = reader.u16();
  header.length = reader.u32();
  const std::uint32_t reserved = reader.u32();
  reader.expect_end();
  if (header.length > control_bytes_max) malformed("a hello of " + std::to_string(header.length) + " bytes");
  if (header.major == version_major && reserved != 0) malformed("a hello's reserved bits are set");
  return header;
}

Hello parse_hello(const HelloHeader& header, ByteView payload) {
  ByteReader reader(payload, "a link's hello");
  Hello hello;
  hello.major = header.major;
  hello.minor = header.minor;
  hello.link = Uuid::from_bytes(reader.bytes(16));
  std::ranges::copy(reader.bytes(hello.secret.size()), hello.secret.begin());
  const std::uint32_t flags = reader.u32();
  hello.create = (flags & flag_create) != 0;
  hello.line = reader.u32();
  hello.standing.received = reader.u64();
  read_standing(reader, hello.standing);
  const std::uint32_t count = reader.u32();
  if (count > lines_named_max) malformed("a hello names " + std::to_string(count) + " lines");
  for (std::uint32_t i = 0; i < count; ++i) hello.lines_alive.push_back(reader.u32());
  if (header.minor == version_minor) {  // a higher one may know more
    if ((flags & ~flag_create) != 0) malformed("a hello's reserved bits are set");
    reader.expect_end();
  }
  if (hello.link.is_none() || hello.line == 0) malformed("a hello without a link or a line");
  return hello;
}

Welcome parse_welcome(const RecordHeader& header, ByteView payload) {
  ByteReader reader(payload, "a link's welcome");
  Welcome welcome;
  welcome.major = reader.u16();
  welcome.minor = reader.u16();
  if (welcome.major != version_major) malformed("a welcome of another version");
  welcome.standing.received = header.number;
  read_standing(reader, welcome.standing);
  welcome.lines_max = reader.u32();
  if (welcome.minor <= version_minor) reader.expect_end();
  if (welcome.lines_max == 0) malformed("a link of no lines");
  return welcome;
}

std::uint64_t parse_ack_limit(ByteView payload) {
  ByteReader reader(payload, "a link's record");
  const std::uint64_t limit = reader.u64();
  reader.expect_end();
  return limit;
}

Error parse_refuse(ByteView payload) {
  ByteReader reader(payload, "a link's refusal");
  reader.u16();  // the target's version: its sentence says what to do
  reader.u16();
  return read_reason(reader);
}

Error parse_abort(ByteView payload) {
  ByteReader reader(payload, "a link's end");
  return read_reason(reader);
}

std::string parse_note(ByteView payload) {
  if (payload.size() > sentence_bytes_max) malformed("a note is too long");
  return harmless(as_text(payload));
}

}  // namespace vmferry::link
