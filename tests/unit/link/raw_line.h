// RawLine: a line on which a test says whatever it likes, record by record.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "protocol/link/record_reader.h"
#include "protocol/transport/transport.h"
#include "tests/support/link_pair.h"

namespace vmferry::test {

struct RawRecord {
  link::RecordHeader header;
  Bytes payload;
};

class RawLine {
 public:
  explicit RawLine(std::unique_ptr<Transport> line);
  explicit RawLine(LinkTarget& target, const std::string& peer = "client") : RawLine(target.dial(peer)()) {}

  void send(ByteView bytes);
  std::optional<RawRecord> next();  // nullopt at the end, clean or not
  // The next one of this type; pings, acks and data before it are passed over.
  std::optional<RawRecord> next(link::RecordType type);
  Transport& transport() { return *line_; }

 private:
  std::unique_ptr<Transport> line_;
  link::RecordReader records_;
};

// A hello that makes a new link, with its window open.
link::Hello new_hello(std::uint64_t window_bytes = 1 << 20);
Bytes bytes_of(const link::Hello& hello);
Bytes data_record(std::uint64_t position, ByteView bytes);

}  // namespace vmferry::test
