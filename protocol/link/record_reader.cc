#include "protocol/link/record_reader.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace vmferry::link {
namespace {

constexpr std::size_t buffer_bytes = 2 * control_bytes_max;

}  // namespace

RecordReader::RecordReader(Source source, ByteView received_already) : source_(std::move(source)), buffer_(buffer_bytes) {
  if (received_already.size() > buffer_.size()) throw std::logic_error("more was read of a line than its hello");
  copy_bytes(received_already, buffer_);
  end_ = received_already.size();
}

std::optional<RecordHeader> RecordReader::next() {
  if (!fill(header_bytes)) return std::nullopt;
  return parse_header(take(header_bytes));
}

std::optional<HelloHeader> RecordReader::next_hello() {
  if (!fill(header_bytes)) return std::nullopt;
  return parse_hello_header(take(header_bytes));
}

ByteView RecordReader::payload(std::size_t length) {
  if (length > control_bytes_max) throw std::logic_error("a long payload in a small buffer");
  if (length > 0 && !fill(length)) throw LineBroken{"it ended within a record"};
  return take(length);
}

std::optional<ByteView> RecordReader::payload_at_hand(std::size_t length) {
  if (end_ - begin_ < length) return std::nullopt;
  return take(length);
}

void RecordReader::payload_into(std::span<std::byte> into) {
  const ByteView at_hand = take(std::min(into.size(), end_ - begin_));
  copy_bytes(at_hand, into);
  into = into.subspan(at_hand.size());
  while (!into.empty()) {
    const std::size_t count = source_(into);
    if (count == 0) throw LineBroken{"it ended within a record"};
    into = into.subspan(count);
  }
}

bool RecordReader::fill(std::size_t bytes) {
  if (end_ - begin_ >= bytes) return true;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  while (end_ < bytes) {
    const std::size_t count = source_(std::span(buffer_).subspan(end_));
    if (count == 0) {
      if (end_ == 0) return false;
      throw LineBroken{"it ended within a record"};
    }
    end_ += count;
  }
  return true;
}

ByteView RecordReader::take(std::size_t bytes) {
  const ByteView taken = ByteView(buffer_).subspan(begin_, bytes);
  begin_ += bytes;
  return taken;
}

}  // namespace vmferry::link
