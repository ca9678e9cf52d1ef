#include "tests/unit/link/raw_line.h"

namespace vmferry::test {

RawLine::RawLine(std::unique_ptr<Transport> line)
    : line_(std::move(line)), records_([this](std::span<std::byte> into) -> std::size_t {
        try {
          return line_->receive(into);
        } catch (const Error& why) {
          throw link::LineBroken{why.what()};
        }
      }) {}

void RawLine::send(ByteView bytes) {
  const std::array<ByteView, 1> parts = {bytes};
  line_->send(parts);
}

std::optional<RawRecord> RawLine::next() {
  try {
    const auto header = records_.next();
    if (!header) return std::nullopt;
    RawRecord record = {*header, Bytes(header->length)};
    records_.payload_into(record.payload);
    return record;
  } catch (const link::LineBroken&) {
    return std::nullopt;
  }
}

std::optional<RawRecord> RawLine::next(link::RecordType type) {
  while (auto record = next())
    if (record->header.type == type) return record;
  return std::nullopt;
}

link::Hello new_hello(std::uint64_t window_bytes) {
  link::Hello hello;
  hello.link = Uuid::random();
  hello.secret.fill(std::byte{7});
  hello.create = true;
  hello.line = 1;
  hello.standing = {0, window_bytes, window_bytes, std::chrono::milliseconds(60'000)};
  return hello;
}

Bytes bytes_of(const link::Hello& hello) {
  Bytes bytes;
  link::put_hello(bytes, hello);
  return bytes;
}

Bytes data_record(std::uint64_t position, ByteView bytes) {
  Bytes record;
  link::put_data_header(record, position, bytes.size());
  record.insert(record.end(), bytes.begin(), bytes.end());
  return record;
}

}  // namespace vmferry::test
