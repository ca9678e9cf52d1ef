// RecordReader: cuts what a line receives into records, through a small buffer; a long payload goes from the line
// straight to where it is kept. One thread. Throws Error{malformed} for a header that no peer sends, LineBroken where
// the line ends within a record.
#pragma once

#include <functional>
#include <optional>
#include <span>

#include "protocol/link/records.h"

namespace vmferry::link {

// A line ended, or was ended. The link may live on.
struct LineBroken {
  std::string why;
};

class RecordReader {
 public:
  // At least one byte, at most all that fit; 0 at the line's clean end. Throws LineBroken.
  using Source = std::function<std::size_t(std::span<std::byte>)>;

  // received_already: bytes of the line that were read before; at most a buffer's.
  explicit RecordReader(Source source, ByteView received_already = {});

  // nullopt at the line's end between two records. The former record's payload has been taken.
  std::optional<RecordHeader> next();
  std::optional<HelloHeader> next_hello();

  // The payload of `length` bytes, valid until the next call; at most control_bytes_max.
  ByteView payload(std::size_t length);
  // The same without receiving anything: nullopt where it is not there yet.
  std::optional<ByteView> payload_at_hand(std::size_t length);
  void payload_into(std::span<std::byte> into);

  std::size_t buffered() const noexcept { return end_ - begin_; }  // received, and not taken yet
  // From now on bytes come from there: the line was handed on.
  void set_source(Source source) { source_ = std::move(source); }

 private:
  bool fill(std::size_t bytes);  // false: the end came before the first of them
  ByteView take(std::size_t bytes);

  Source source_;
  Bytes buffer_;
  std::size_t begin_ = 0, end_ = 0;
};

}  // namespace vmferry::link
