#include "tests/unit/crack/log_builder.h"

#include <bit>
#include <cstring>

namespace vmferry::crack {

LogBuilder::LogBuilder(std::uint64_t bytes, std::uint16_t major, std::uint16_t minor, std::uint64_t first_sequence)
    : log_(bytes, std::byte{0xff}), major_(major), minor_(minor), first_((major == 1 ? 4 : 34) * page),
      at_(first_), sequence_(first_sequence), offset_bits_(64 - (67 - static_cast<unsigned>(std::bit_width(bytes)))),
      written_(bytes / page) {
  at_ = bytes;  // at the ring's end: the next page is the first
  open_next_page();
  sequence_ = first_sequence;
}

void LogBuilder::put16(std::uint64_t at, std::uint16_t value) { std::memcpy(log_.data() + at, &value, 2); }
void LogBuilder::put32(std::uint64_t at, std::uint32_t value) { std::memcpy(log_.data() + at, &value, 4); }
void LogBuilder::put64(std::uint64_t at, std::uint64_t value) { std::memcpy(log_.data() + at, &value, 8); }

void LogBuilder::open_next_page() {
  std::uint64_t next = at_ / page * page + page;
  if (at_ % page == 0) next = at_;  // at a page's end already
  if (next >= log_.size()) {
    next = first_;
    ++sequence_;
  }
  std::memset(log_.data() + next, 0, page);
  std::memcpy(log_.data() + next, "RCRD", 4);
  put16(next + 4, 0x28);
  put16(next + 6, page / 512 + 1);
  written_[next / page] = true;
  at_ = next + data_offset;
}

std::uint64_t LogBuilder::add_client_data(const Bytes& data, std::uint32_t record_type) {
  at_ = (at_ + 7) / 8 * 8;
  if (at_ % page == 0 || page - at_ % page < 0x30) open_next_page();
  const std::uint64_t lsn = sequence_ << offset_bits_ | at_ >> 3;
  const std::uint64_t begin = at_ / page * page;
  last_page_before_.assign(log_.begin() + static_cast<std::ptrdiff_t>(begin),
                           log_.begin() + static_cast<std::ptrdiff_t>(begin + page));
  put64(at_, lsn);
  put32(at_ + 0x18, static_cast<std::uint32_t>(data.size()));
  put32(at_ + 0x20, record_type);
  put16(at_ + 0x28, 0x30 + data.size() > page - at_ % page ? 1 : 0);
  at_ += 0x30;
  std::size_t done = 0;
  while (done < data.size()) {
    if (at_ % page == 0) {
      put64((at_ - 1) / page * page + 8, lsn);
      open_next_page();
    }
    const std::size_t part = std::min<std::size_t>(data.size() - done, page - at_ % page);
    std::memcpy(log_.data() + at_, data.data() + done, part);
    done += part;
    at_ += part;
  }
  const std::uint64_t end = (at_ - 1) / page * page;
  put64(end + 8, lsn);
  put16(end + 0x18, static_cast<std::uint16_t>(at_ - end));
  put64(end + 0x20, lsn);
  last_lsn_ = lsn;
  return lsn;
}

std::uint64_t LogBuilder::add_bitmap(std::uint16_t redo, std::uint16_t undo, std::uint64_t target_vcn,
                                     std::uint32_t first_bit, std::uint32_t bits) {
  ByteWriter data;
  data.u16(redo);
  data.u16(undo);
  data.u16(0x28);
  data.u16(8);
  data.u16(0x28);
  data.u16(8);
  data.u16(0x18);
  data.u16(1);
  for (int i = 0; i < 4; ++i) data.u16(0);  // record, attribute and cluster offsets
  data.u64(target_vcn);
  data.u64(0);  // one LCN: cluster 0, which is allocated
  data.u32(first_bit);
  data.u32(bits);
  return add_client_data(std::move(data).take());
}

void LogBuilder::seal(std::uint64_t page_offset, std::size_t fixups_at) {
  const std::uint16_t mark = 5;
  put16(page_offset + fixups_at, mark);
  for (std::size_t i = 0; i < page / 512; ++i) {
    const std::uint64_t last = page_offset + (i + 1) * 512 - 2;
    std::memcpy(log_.data() + page_offset + fixups_at + 2 * (i + 1), log_.data() + last, 2);
    put16(last, mark);
  }
}

void LogBuilder::write_restart_page(std::uint64_t at) {
  std::memset(log_.data() + at, 0, page);
  std::memcpy(log_.data() + at, "RSTR", 4);
  put16(at + 4, 0x1e);
  put16(at + 6, page / 512 + 1);
  put32(at + 0x10, page);
  put32(at + 0x14, page);
  put16(at + 0x18, 0x30);
  put16(at + 0x1a, minor_);
  put16(at + 0x1c, major_);
  const std::uint64_t area = at + 0x30;
  put64(area, current_);
  put16(area + 8, 1);
  put16(area + 0x0a, closed_ ? 0 : 0xffff);
  put16(area + 0x0c, closed_ ? 0xffff : 0);
  put32(area + 0x10, 64 - offset_bits_);
  put16(area + 0x14, 0xe0);
  put16(area + 0x16, 0x40);
  put64(area + 0x18, log_.size());
  put16(area + 0x24, 0x30);
  put16(area + 0x26, data_offset);
  put64(area + 0x40, oldest_);
  put64(area + 0x48, current_);
  put16(area + 0x50, 0xffff);
  put16(area + 0x52, 0xffff);
  seal(at, 0x1e);
}

Bytes LogBuilder::finish() {
  for (std::uint64_t at = first_; at < log_.size(); at += page) {
    if (written_[at / page] && !(last_page_in_copy_ && at == (at_ - 1) / page * page)) seal(at, 0x28);
  }
  if (last_page_in_copy_) {
    const std::uint64_t last = (at_ - 1) / page * page, copy = 2 * page;
    std::memcpy(log_.data() + copy, log_.data() + last, page);
    if (major_ == 1) {
      put64(copy + 8, last);
    } else {
      put32(copy + 0x3c, static_cast<std::uint32_t>(last));
    }
    seal(copy, 0x28);
    std::memcpy(log_.data() + last, last_page_before_.data(), page);
    seal(last, 0x28);
  }
  write_restart_page(0);
  write_restart_page(page);
  return log_;
}

}  // namespace vmferry::crack
