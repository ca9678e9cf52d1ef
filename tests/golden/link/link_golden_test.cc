// The link's version 1, byte for byte: what was written once must be written the same and read for ever. Set
// VMFERRY_REGENERATE_GOLDEN=1 to write the files anew. The records are those of the exchange in docs/format/link.md.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "protocol/link/record_reader.h"
#include "protocol/link/records.h"

namespace vmferry::link {
namespace {

using namespace std::chrono_literals;

const std::filesystem::path golden_directory = std::filesystem::path(VMFERRY_SOURCE_DIR) / "tests/golden/link/v1";

template <typename Array>
void fill(Array& bytes, unsigned char first) {
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(first + i);
}

Hello first_hello() {
  Hello hello;
  fill(hello.link.bytes, 0x10);
  fill(hello.secret, 0x40);
  hello.create = true;
  hello.line = 1;
  hello.standing = {0, 262'144, 8'388'608, 20'000ms};
  return hello;
}

Hello later_hello() {
  Hello hello = first_hello();
  hello.create = false;
  hello.line = 4;
  hello.standing.received = 1000;
  hello.standing.limit = 8'389'608;
  hello.lines_alive = {2, 3};
  return hello;
}

const Welcome welcome = {.standing = {5, 8'388'613, 8'388'608, 20'000ms}, .lines_max = 8};

std::vector<std::pair<std::string, Bytes>> samples() {
  std::vector<std::pair<std::string, Bytes>> all;
  const auto add = [&](const char* name, auto put) {
    Bytes bytes;
    put(bytes);
    all.emplace_back(name, bytes);
  };
  add("01-hello", [](Bytes& out) { put_hello(out, first_hello()); });
  add("02-hello-again", [](Bytes& out) { put_hello(out, later_hello()); });
  add("03-welcome", [](Bytes& out) { put_welcome(out, welcome); });
  add("04-refuse", [](Bytes& out) { put_refuse(out, ErrorCode::busy, "try again later"); });
  add("05-data", [](Bytes& out) {
    put_data_header(out, 65'530, 5);
    out.insert(out.end(), as_bytes("hello").begin(), as_bytes("hello").end());
  });
  add("06-ack", [](Bytes& out) { put_ack(out, 65'535, 8'454'143); });
  add("07-ping", [](Bytes& out) { put_ping(out); });
  add("08-finish", [](Bytes& out) { put_finish(out, 65'535); });
  add("09-abort", [](Bytes& out) { put_abort(out, ErrorCode::permission, "this client was revoked"); });
  add("10-note", [](Bytes& out) { put_note(out, "7 sessions are before this one"); });
  return all;
}

std::string wrapped(const std::string& hex) {
  std::string text;
  for (std::size_t i = 0; i < hex.size(); i += 96) text += hex.substr(i, 96) + "\n";
  return text;
}

std::string read_hex(const std::string& name) {
  std::ifstream file(golden_directory / (name + ".hex"));
  std::string hex, line;
  while (std::getline(file, line)) hex += line;
  return hex;
}

Bytes golden(const std::string& name) { return from_hex(read_hex(name)); }

TEST(LinkGolden, EveryRecordOfVersion1IsWrittenAsItWas) {
  const bool regenerate = std::getenv("VMFERRY_REGENERATE_GOLDEN") != nullptr;
  for (const auto& [name, bytes] : samples()) {
    SCOPED_TRACE(name);
    if (regenerate) {
      std::filesystem::create_directories(golden_directory);
      std::ofstream(golden_directory / (name + ".hex")) << wrapped(to_hex(bytes));
    }
    EXPECT_EQ(to_hex(bytes), read_hex(name));
  }
}

void expect_standing(const Standing& standing, const Standing& expected) {
  EXPECT_EQ(standing.received, expected.received);
  EXPECT_EQ(standing.limit, expected.limit);
  EXPECT_EQ(standing.window, expected.window);
  EXPECT_EQ(standing.hear_within, expected.hear_within);
}

TEST(LinkGolden, HellosAreReadAgain) {
  for (const auto& [name, expected] : {std::pair("01-hello", first_hello()), std::pair("02-hello-again", later_hello())}) {
    SCOPED_TRACE(name);
    const Bytes bytes = golden(name);
    ASSERT_GE(bytes.size(), header_bytes);
    const HelloHeader header = parse_hello_header(ByteView(bytes).first(header_bytes));
    ASSERT_EQ(header.length, bytes.size() - header_bytes);
    const Hello hello = parse_hello(header, ByteView(bytes).subspan(header_bytes));
    EXPECT_EQ(hello.major, 1);
    EXPECT_EQ(hello.minor, 0);
    EXPECT_EQ(hello.link, expected.link);
    EXPECT_EQ(hello.secret, expected.secret);
    EXPECT_EQ(hello.create, expected.create);
    EXPECT_EQ(hello.line, expected.line);
    EXPECT_EQ(hello.lines_alive, expected.lines_alive);
    expect_standing(hello.standing, expected.standing);
  }
}

TEST(LinkGolden, EveryOtherRecordIsReadAgain) {
  Bytes all;
  for (const auto& [name, bytes] : samples()) {
    if (name.find("hello") != std::string::npos) continue;
    const Bytes one = golden(name);
    all.insert(all.end(), one.begin(), one.end());
  }
  ByteView rest = all;
  RecordReader reader([&](std::span<std::byte> into) {
    const std::size_t count = std::min(into.size(), rest.size());
    std::ranges::copy(rest.first(count), into.begin());
    rest = rest.subspan(count);
    return count;
  });
  const auto next = [&](RecordType type, std::uint64_t number) {
    const auto header = reader.next();
    EXPECT_TRUE(header && header->type == type && header->number == number);
    return *header;
  };
  const RecordHeader welcomed = next(RecordType::welcome, 5);
  const Welcome read = parse_welcome(welcomed, reader.payload(welcomed.length));
  expect_standing(read.standing, welcome.standing);
  EXPECT_EQ(read.lines_max, 8u);
  const Error refused = parse_refuse(reader.payload(next(RecordType::refuse, 0).length));
  EXPECT_EQ(refused.code(), ErrorCode::busy);
  EXPECT_STREQ(refused.what(), "try again later");
  EXPECT_EQ(as_text(reader.payload(next(RecordType::data, 65'530).length)), "hello");
  EXPECT_EQ(parse_ack_limit(reader.payload(next(RecordType::ack, 65'535).length)), 8'454'143u);
  next(RecordType::ping, 0);
  next(RecordType::finish, 65'535);
  const Error aborted = parse_abort(reader.payload(next(RecordType::abort, 0).length));
  EXPECT_EQ(aborted.code(), ErrorCode::permission);
  EXPECT_STREQ(aborted.what(), "this client was revoked");
  EXPECT_EQ(parse_note(reader.payload(next(RecordType::note, 0).length)), "7 sessions are before this one");
  EXPECT_FALSE(reader.next());
}

// The document's worked exchange is made of these files: a reader can trust it.
TEST(LinkGolden, TheHexInTheDocumentIsTheGoldenHex) {
  std::ifstream file(std::filesystem::path(VMFERRY_SOURCE_DIR) / "docs/format/link.md");
  std::stringstream text;
  text << file.rdbuf();
  std::string document = text.str();
  std::erase_if(document, [](char c) { return c == ' ' || c == '\n'; });
  for (const auto& [name, bytes] : samples()) {
    const std::string hex = read_hex(name);
    ASSERT_FALSE(hex.empty()) << name;
    EXPECT_NE(document.find(hex), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace vmferry::link
