// LibrsyncDeltaWriter: librsync's delta file, operation by operation: a magic, commands with big-endian parameters,
// an end.
#pragma once

#include "protocol/bytes.h"
#include "protocol/delta/matcher.h"

namespace vmferry::delta {

// librsync's integers: big-endian, of 1, 2 or 4 bytes here.
void put_big_endian(ByteWriter& out, std::uint32_t value, int bytes);

class LibrsyncDeltaWriter {
 public:
  LibrsyncDeltaWriter();
  void literal(ByteView bytes);  // none where empty
  void copy(std::uint32_t from, std::uint32_t length);
  void end();

  void reserve(std::size_t bytes) { out_.reserve(bytes); }
  ByteView view() const noexcept { return out_.view(); }
  Bytes take() && { return std::move(out_).take(); }

 private:
  ByteWriter out_;
};

}  // namespace vmferry::delta
