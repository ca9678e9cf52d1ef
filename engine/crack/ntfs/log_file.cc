// The format's facts: two restart pages ("RSTR"), then copies of the last pages written (2 of them in version 1.1,
// 32 in 2.0), then record pages ("RCRD") in a ring. A record's LSN is a sequence number (which grows with each round
// of the ring) over its offset in the file, divided by 8; so each record says itself whether it is where it belongs.
#include "engine/crack/ntfs/log_file.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "engine/crack/ntfs/little_endian.h"
#include "engine/crack/ntfs/log_records.h"
#include "engine/crack/ntfs/record.h"
#include "engine/crack/ntfs/require.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

constexpr std::size_t page_bytes_min = 512, page_bytes_max = 65536;
constexpr std::size_t restart_area_bytes = 0x30, client_record_bytes = 0xa0;
constexpr std::size_t record_header_bytes = 0x30;
constexpr std::size_t page_header_bytes = 0x28;
constexpr std::uint16_t no_client = 0xffff, restart_volume_is_clean = 2;
constexpr std::uint32_t record_of_client = 1, record_of_restart = 2;
constexpr std::uint64_t record_pages_min = 48;

bool never_written(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0xff}; });
}

struct RestartPage {
  std::uint16_t major = 0, minor = 0;
  std::size_t system_page_bytes = 0, page_bytes = 0;
  std::uint64_t current_lsn = 0;
  std::uint64_t oldest_lsn = 0;
  bool closed = false;  // no client has it open, or it says that it is clean
  std::uint32_t sequence_bits = 0;
  std::uint64_t file_bytes = 0;
  std::size_t data_offset = 0;
};

// nullopt where the page is torn or makes no sense.
std::optional<RestartPage> parse_restart_page(std::span<std::byte> log, std::size_t offset) {
  if (!range_fits(offset, 0x20, log.size())) return std::nullopt;
  const std::size_t system_page = le32(log, offset + 0x10);
  if (!std::has_single_bit(system_page) || system_page < page_bytes_min || system_page > page_bytes_max ||
      !range_fits(offset, system_page, log.size())) {
    return std::nullopt;
  }
  Bytes page(log.begin() + static_cast<std::ptrdiff_t>(offset), log.begin() + static_cast<std::ptrdiff_t>(offset + system_page));
  if (!apply_fixups(page, "RSTR") && !apply_fixups(page, "CHKD")) return std::nullopt;
  RestartPage restart;
  restart.system_page_bytes = system_page;
  restart.page_bytes = le32(page, 0x14);
  restart.minor = le16(page, 0x1a);
  restart.major = le16(page, 0x1c);
  const std::size_t area = le16(page, 0x18);
  if (area % 8 != 0 || !range_fits(area, restart_area_bytes, page.size())) return std::nullopt;
  restart.current_lsn = le64(page, area);
  const std::size_t clients = le16(page, area + 8), in_use = le16(page, area + 0x0c);
  restart.closed = in_use == no_client || (le16(page, area + 0x0e) & restart_volume_is_clean) != 0;
  restart.sequence_bits = le32(page, area + 0x10);
  restart.file_bytes = le64(page, area + 0x18);
  restart.data_offset = le16(page, area + 0x26);
  if (in_use != no_client) {
    const std::size_t client = area + le16(page, area + 0x16) + in_use * client_record_bytes;
    if (in_use >= clients || !range_fits(client, client_record_bytes, page.size())) return std::nullopt;
    restart.oldest_lsn = le64(page, client);
  }
  return restart;
}

// The two restart pages: the second lies one system page behind the first.
std::vector<RestartPage> restart_pages(std::span<std::byte> log) {
  std::vector<RestartPage> found;
  if (auto first = parse_restart_page(log, 0)) found.push_back(*first);
  for (std::size_t at = page_bytes_min; at <= page_bytes_max; at *= 2) {
    const auto second = parse_restart_page(log, at);
    if (second && second->system_page_bytes == at) {
      found.push_back(*second);
      break;
    }
  }
  return found;
}

bool cleanly_closed(ByteView first_pages, const std::vector<RestartPage>& restarts) {
  if (restarts.empty()) return never_written(first_pages.first(std::min(first_pages.size(), page_bytes_max)));
  return restarts.size() == 2 && restarts[0].closed && restarts[1].closed;
}

// The ring of record pages, and its walk from the oldest record that a replay needs to the last one there is.
class LogRing {
 public:
  LogRing(std::span<std::byte> log, const RestartPage& restart, const LogGeometry& geometry)
      : restart_(restart), geometry_(geometry) {
    require((restart.major == 1 && restart.minor == 1) || (restart.major == 2 && restart.minor == 0),
            "its version is not known");
    page_ = restart.page_bytes;
    require(std::has_single_bit(page_) && page_ >= page_bytes_min && page_ <= page_bytes_max &&
                page_ == restart.system_page_bytes,
            "its page size is not known");
    end_ = std::min<std::uint64_t>(restart.file_bytes, log.size()) / page_ * page_;
    first_ = (restart.major == 1 ? 4 : 34) * page_;
    require(restart.file_bytes <= log.size() && end_ >= first_ + record_pages_min * page_, "its size makes no sense");
    require(restart.sequence_bits == 67 - static_cast<unsigned>(std::bit_width(restart.file_bytes)), "its sequence numbers make no sense");
    require(restart.data_offset % 8 == 0 && restart.data_offset >= page_header_bytes &&
                restart.data_offset + record_header_bytes <= page_,
            "its pages make no sense");
    choose_pages(log);
  }

  std::vector<ClusterRange> clusters_named() {
    if (restart_.oldest_lsn == 0) {
      // Nobody has told how far back a replay goes. Where no record was ever written, there is none.
      require(last_lsn_anywhere(0) == 0, "it does not say where it begins");
      return {};
    }
    std::uint64_t lsn = restart_.oldest_lsn, last = 0;
    std::uint64_t at = offset_of(lsn);
    require(in_ring(at) && record_at(at, lsn), "its oldest record is not there");
    for (;;) {
      const std::uint64_t next_free = take_record(at, lsn);
      last = lsn;
      const std::uint64_t previous_page = at / page_;
      if (!find_next(next_free, previous_page, lsn, at)) break;
    }
    require(last >= restart_.current_lsn, "a record that was there is lost");
    require(last_lsn_anywhere(last) <= last, "a record in its middle is lost");
    // The page that the next record would be written to: torn, it may have held one.
    const std::uint64_t following = next_page(at / page_ * page_);
    require(pages_[static_cast<std::size_t>(following / page_)].state != PageState::torn, "its last page is torn");
    return std::move(named_);
  }

 private:
  enum class PageState : std::uint8_t { empty, torn, whole };
  struct Page {
    PageState state = PageState::empty;
    std::span<std::byte> bytes;
    std::uint64_t last_end_lsn = 0;
    std::uint64_t last_lsn = 0;  // of any record that touches the page
  };

  static std::span<std::byte> page_at(std::span<std::byte> log, std::uint64_t at, std::size_t length) {
    return log.subspan(static_cast<std::size_t>(at), length);
  }

  static Page examine_page(std::span<std::byte> bytes) {
    Page page;
    page.bytes = bytes;
    if (never_written(bytes.first(4))) return page;
    page.state = apply_fixups(bytes, "RCRD") ? PageState::whole : PageState::torn;
    page.last_lsn = le64(bytes, 8);
    page.last_end_lsn = le64(bytes, 0x20);
    return page;
  }

  // Each page of the ring as it is in place, or as the newer copy among the tail pages has it.
  void choose_pages(std::span<std::byte> log) {
    pages_.resize(static_cast<std::size_t>(end_ / page_));
    for (std::uint64_t at = first_; at < end_; at += page_) {
      pages_[static_cast<std::size_t>(at / page_)] = examine_page(page_at(log, at, page_));
    }
    for (std::uint64_t at = 2 * page_; at < first_; at += page_) {
      Page copy = examine_page(page_at(log, at, page_));
      if (copy.state != PageState::whole) continue;
      const std::uint64_t belongs = restart_.major == 1 ? copy.last_lsn : le32(copy.bytes, 0x3c);
      if (belongs % page_ != 0 || !in_ring(belongs)) continue;
      copy.last_lsn = copy.last_end_lsn;
      Page& in_place = pages_[static_cast<std::size_t>(belongs / page_)];
      if (in_place.state != PageState::whole || in_place.last_end_lsn < copy.last_end_lsn) in_place = copy;
    }
  }

  bool in_ring(std::uint64_t at) const { return at >= first_ && at < end_; }
  std::uint64_t next_page(std::uint64_t page_offset) const {
    return page_offset + page_ >= end_ ? first_ : page_offset + page_;
  }
  unsigned offset_bits() const { return 64 - restart_.sequence_bits; }
  std::uint64_t offset_of(std::uint64_t lsn) const { return (lsn & ((std::uint64_t{1} << offset_bits()) - 1)) << 3; }
  std::uint64_t sequence_of(std::uint64_t lsn) const { return lsn >> offset_bits(); }
  std::uint64_t lsn_of(std::uint64_t at, std::uint64_t sequence) const { return sequence << offset_bits() | at >> 3; }

  // A header of exactly this LSN is at that place of the ring.
  bool record_at(std::uint64_t at, std::uint64_t lsn) const {
    const Page& page = pages_[static_cast<std::size_t>(at / page_)];
    const std::size_t within = static_cast<std::size_t>(at % page_);
    if (page.state != PageState::whole || within < restart_.data_offset || within % 8 != 0 ||
        !range_fits(within, record_header_bytes, page_)) {
      return false;
    }
    if (le64(page.bytes, within) != lsn) return false;
    const std::uint32_t type = le32(page.bytes, within + 0x20);
    return type == record_of_client || type == record_of_restart;
  }

  // Takes the record's clusters; gives the offset that follows it, which may be a page's end.
  std::uint64_t take_record(std::uint64_t at, std::uint64_t lsn) {
    const ByteView first = pages_[static_cast<std::size_t>(at / page_)].bytes;
    std::size_t within = static_cast<std::size_t>(at % page_);
    std::uint64_t missing = le32(first, within + 0x18);
    const bool of_client = le32(first, within + 0x20) == record_of_client;
    require(missing <= end_ - first_, "a record is longer than the log");
    within += record_header_bytes;
    data_.clear();
    std::uint64_t page_offset = at / page_ * page_;
    for (;;) {
      const Page& page = pages_[static_cast<std::size_t>(page_offset / page_)];
      const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(missing, page_ - within));
      const auto begin = page.bytes.begin() + static_cast<std::ptrdiff_t>(within);
      data_.insert(data_.end(), begin, begin + static_cast<std::ptrdiff_t>(part));
      missing -= part;
      if (missing == 0) {
        if (of_client) append_clusters_of_log_record(data_, geometry_, named_);
        require(named_.size() < 64 * 1024 * 1024 / sizeof(ClusterRange) || compact(), "it names too many clusters");
        return page_offset + within + part;
      }
      page_offset = next_page(page_offset);
      within = restart_.data_offset;
      const Page& following = pages_[static_cast<std::size_t>(page_offset / page_)];
      require(following.state == PageState::whole && std::max(following.last_lsn, following.last_end_lsn) >= lsn,
              "a page that a record goes on in is lost");
    }
  }

  // The next record begins behind this one, or, where it did not fit, at the beginning of the next page. `lsn` and
  // `at` move there. False at the log's end.
  bool find_next(std::uint64_t next_free, std::uint64_t begun_on_page, std::uint64_t& lsn, std::uint64_t& at) const {
    std::uint64_t sequence = sequence_of(lsn);
    const std::uint64_t page_offset = (next_free - 1) / page_ * page_;
    if (page_offset / page_ < begun_on_page) ++sequence;  // the record itself went around
    const std::uint64_t here = (next_free + 7) / 8 * 8;
    if (here < page_offset + page_ && record_at(here, lsn_of(here, sequence))) {
      at = here;
      lsn = lsn_of(here, sequence);
      return true;
    }
    const Page& page = pages_[static_cast<std::size_t>(page_offset / page_)];
    require((le16(page.bytes, 0x18) + 7U) / 8 * 8 <= here - page_offset, "a record in its middle is lost");
    const std::uint64_t next = next_page(page_offset);
    if (next <= page_offset) ++sequence;
    const std::uint64_t there = next + restart_.data_offset;
    if (!record_at(there, lsn_of(there, sequence))) {
      at = page_offset;
      return false;
    }
    at = there;
    lsn = lsn_of(there, sequence);
    return true;
  }

  // The highest LSN above `above` of anything that looks like a record in its place.
  std::uint64_t last_lsn_anywhere(std::uint64_t above) const {
    std::uint64_t highest = 0;
    for (std::uint64_t page_offset = first_; page_offset < end_; page_offset += page_) {
      const Page& page = pages_[static_cast<std::size_t>(page_offset / page_)];
      if (page.state != PageState::whole) continue;
      for (std::size_t within = restart_.data_offset; within + record_header_bytes <= page_; within += 8) {
        const std::uint64_t lsn = le64(page.bytes, within);
        if (lsn > above && lsn > highest && offset_of(lsn) == page_offset + within && record_at(page_offset + within, lsn)) {
          highest = lsn;
        }
      }
    }
    return highest;
  }

  // Sorts and joins what was named so far; records of the log name the same clusters over and over.
  bool compact();

  RestartPage restart_;
  LogGeometry geometry_;
  std::size_t page_ = 0;
  std::uint64_t first_ = 0, end_ = 0;
  std::vector<Page> pages_;
  Bytes data_;
  std::vector<ClusterRange> named_;
};

void sort_and_join(std::vector<ClusterRange>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const ClusterRange& a, const ClusterRange& b) { return a.lcn < b.lcn; });
  std::size_t kept = 0;
  for (const ClusterRange& range : ranges) {
    if (kept > 0 && range.lcn <= ranges[kept - 1].lcn + ranges[kept - 1].clusters) {
      ClusterRange& last = ranges[kept - 1];
      last.clusters = std::max(last.clusters, range.lcn + range.clusters - last.lcn);
    } else {
      ranges[kept++] = range;
    }
  }
  ranges.resize(kept);
}

bool LogRing::compact() {
  const std::size_t before = named_.size();
  sort_and_join(named_);
  return named_.size() <= before / 2;
}

}  // namespace

bool log_cleanly_closed(ByteView first_pages) {
  Bytes copy(first_pages.begin(), first_pages.begin() + static_cast<std::ptrdiff_t>(std::min(first_pages.size(), log_restart_bytes)));
  return cleanly_closed(copy, restart_pages(copy));
}

LogFindings examine_log(std::span<std::byte> log, const LogGeometry& geometry) {
  LogFindings findings;
  const std::vector<RestartPage> restarts = restart_pages(log);
  findings.cleanly_closed = cleanly_closed(log, restarts);
  if (findings.cleanly_closed) return findings;
  try {
    require(!restarts.empty(), "no restart page can be read");
    const RestartPage& newest = restarts.size() == 2 && restarts[1].current_lsn > restarts[0].current_lsn ? restarts[1] : restarts[0];
    // A closed page beside an open one: the open one tells.
    const bool second_open = restarts.size() == 2 && !restarts[1].closed;
    const RestartPage& used = newest.closed && restarts.size() == 2 ? restarts[second_open ? 1 : 0] : newest;
    require(!used.closed, "a restart page is torn");
    findings.named = LogRing(log, used, geometry).clusters_named();
    sort_and_join(findings.named);
  } catch (const Error& error) {
    findings.readable = false;
    findings.why = error.what();
    findings.named.clear();
  }
  return findings;
}

}  // namespace vmferry::crack
