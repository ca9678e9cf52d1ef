// LogBuilder: writes a $LogFile of version 1.1 or 2.0 as Windows leaves it when it is switched off: restart pages,
// record pages in a ring with fixups, records across pages, copies of the last page.
#pragma once

#include <cstdint>
#include <vector>

#include "protocol/bytes.h"

namespace vmferry::crack {

class LogBuilder {
 public:
  static constexpr std::size_t page = 4096, data_offset = 0x40;
  static constexpr std::uint16_t set_bits = 0x15, clear_bits = 0x16, noop = 0;

  LogBuilder(std::uint64_t bytes, std::uint16_t major, std::uint16_t minor, std::uint64_t first_sequence = 7);

  // A record of redo and undo operations with the range of bits as data of both; gives its LSN.
  std::uint64_t add_bitmap(std::uint16_t redo, std::uint16_t undo, std::uint64_t target_vcn, std::uint32_t first_bit,
                           std::uint32_t bits);
  std::uint64_t add_client_data(const Bytes& data, std::uint32_t record_type = 1);
  // What a replay needs begins with this one; the restart pages were written when that was the last.
  void set_restart(std::uint64_t oldest_lsn, std::uint64_t current_lsn) { oldest_ = oldest_lsn, current_ = current_lsn; }
  void set_closed(bool closed) { closed_ = closed; }
  // The last page is in place as it was before its last record; only a copy among the tail pages has that.
  void leave_last_page_to_its_copy() { last_page_in_copy_ = true; }

  Bytes finish();

  std::uint64_t place_of(std::uint64_t lsn) const { return (lsn & ((std::uint64_t{1} << offset_bits_) - 1)) << 3; }
  std::uint64_t first_page() const { return first_; }

 private:
  void put16(std::uint64_t at, std::uint16_t value);
  void put32(std::uint64_t at, std::uint32_t value);
  void put64(std::uint64_t at, std::uint64_t value);
  void open_next_page();
  void seal(std::uint64_t page_offset, std::size_t fixups_at);
  void write_restart_page(std::uint64_t at);

  Bytes log_;
  Bytes last_page_before_;
  std::uint16_t major_, minor_;
  std::uint64_t first_, at_;
  std::uint64_t sequence_;
  unsigned offset_bits_;
  std::uint64_t oldest_ = 0, current_ = 0, last_lsn_ = 0;
  bool closed_ = false, last_page_in_copy_ = false;
  std::vector<bool> written_;
};

}  // namespace vmferry::crack
