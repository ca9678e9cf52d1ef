#include "bench/floor/floor.h"

#include <sys/resource.h>
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <unordered_map>

namespace vmferry::bench {
namespace {

using Hash = std::pair<std::uint64_t, std::uint64_t>;

struct HashOf {
  std::size_t operator()(const Hash& hash) const { return hash.first; }
};

// Calls work(i) for each i below count on two threads; the first error ends it.
void in_two_threads(std::size_t count, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failure;
  std::mutex failing;
  const auto run = [&] {
    try {
      for (std::size_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      const std::scoped_lock lock(failing);
      failure = std::current_exception();
      next = count;
    }
  };
  std::thread other(run);
  run();
  other.join();
  if (failure) std::rethrow_exception(failure);
}

std::vector<Hash> hash_all(const StreamedDisk& disk) {
  const auto& streams = disk.streams();
  std::vector<Hash> hashes(streams.size());
  in_two_threads(streams.size(), [&](std::size_t i) {
    const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), XXH3_freeState);
    XXH3_128bits_reset(state.get());
    for (const ByteRange& range : streams[i].ranges)
      XXH3_128bits_update(state.get(), disk.at(range).data(), range.length);
    const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
    hashes[i] = {hash.low64, hash.high64};
  });
  return hashes;
}

// Content in one piece: a view of the disk where it lies in one run, else a copy.
class Content {
 public:
  void add(const StreamedDisk& disk, const DiskStream& stream) {
    if (parts_ == 0 && stream.ranges.size() == 1) {
      view_ = disk.at(stream.ranges.front());
    } else {
      if (parts_ > 0 && copy_.empty()) copy_.assign(view_.begin(), view_.end());
      for (const ByteRange& range : stream.ranges) {
        const ByteView piece = disk.at(range);
        copy_.insert(copy_.end(), piece.begin(), piece.end());
      }
      view_ = copy_;
    }
    ++parts_;
  }
  ByteView view() const { return view_; }

 private:
  ByteView view_;
  Bytes copy_;
  unsigned parts_ = 0;
};

class Compressor {
 public:
  std::uint64_t compressed_bytes(ByteView content, ByteView former) {
    // Beyond zstd's largest window: by position.
    constexpr std::uint64_t piece_bytes = 1 << 30;
    std::uint64_t total = 0;
    for (std::uint64_t at = 0; at < content.size(); at += piece_bytes) {
      const std::uint64_t former_at = std::min<std::uint64_t>(at, former.size());
      total += one_frame(content.subspan(at, std::min(piece_bytes, content.size() - at)),
                         former.subspan(former_at, std::min(piece_bytes, former.size() - former_at)));
    }
    return total;
  }

 private:
  std::uint64_t one_frame(ByteView content, ByteView former) {
    constexpr std::size_t dictionary_bytes_min = 8;  // zstd takes no smaller one
    if (former.size() < dictionary_bytes_min) former = {};
    ZSTD_CCtx_reset(context_.get(), ZSTD_reset_session_and_parameters);
    set(ZSTD_c_compressionLevel, 3);
    if (!former.empty()) {
      const int window = std::clamp(static_cast<int>(std::bit_width(content.size() + former.size())), 10, 31);
      set(ZSTD_c_windowLog, window);
      // As zstd --patch-from: below this the match finder's own tables reach all of it.
      if (window > 16) set(ZSTD_c_enableLongDistanceMatching, 1);
      check(ZSTD_CCtx_refPrefix(context_.get(), former.data(), former.size()));
    }
    const std::size_t room = ZSTD_compressBound(content.size());
    const auto out = std::make_unique_for_overwrite<std::byte[]>(room);
    return check(ZSTD_compress2(context_.get(), out.get(), room, content.data(), content.size()));
  }

  void set(ZSTD_cParameter parameter, int value) { check(ZSTD_CCtx_setParameter(context_.get(), parameter, value)); }
  static std::size_t check(std::size_t result) {
    if (ZSTD_isError(result)) throw std::runtime_error(std::string("zstd: ") + ZSTD_getErrorName(result));
    return result;
  }

  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context_{ZSTD_createCCtx(), ZSTD_freeCCtx};
};

Compressor& compressor() {
  thread_local Compressor one;
  return one;
}

struct Changed {
  const DiskStream* now;
  const DiskStream* before;  // nullptr: it is new
  FloorRow row;
};

using AttributeKey = std::tuple<std::uint64_t, std::uint32_t, std::string>;

// The streams of the first day, to be found by what a stream of the second day may share with them.
class FormerStreams {
 public:
  explicit FormerStreams(const StreamedDisk& disk) : disk_(disk), hashes_(hash_all(disk)) {
    for (std::size_t i = 0; i < disk.streams().size(); ++i) {
      const DiskStream& stream = disk.streams()[i];
      contents_.emplace(hashes_[i]);
      if (stream.path.starts_with("/") || stream.kind == StreamKind::opaque) by_path_.emplace(stream.path, &stream);
      if (stream.kind != StreamKind::opaque) by_reference_.emplace(key(stream), &stream);
    }
  }
  bool holds(const Hash& content) const { return contents_.contains(content); }
  std::pair<const DiskStream*, Former> find(const DiskStream& stream) const {
    if (const auto found = by_path_.find(stream.path); found != by_path_.end()) return {found->second, Former::path};
    if (const auto found = by_reference_.find(key(stream)); found != by_reference_.end() && stream.reference != 0)
      return {found->second, Former::reference};
    return {nullptr, Former::none};
  }
  std::set<Hash> contents() const { return contents_; }

 private:
  static AttributeKey key(const DiskStream& stream) {
    return {stream.reference, stream.attribute, stream.attribute_name};
  }

  const StreamedDisk& disk_;
  std::vector<Hash> hashes_;
  std::set<Hash> contents_;
  std::unordered_map<std::string, const DiskStream*> by_path_;
  std::map<AttributeKey, const DiskStream*> by_reference_;
};

std::vector<Changed> find_changed(const StreamedDisk& now, const FormerStreams& former, FloorReport& report) {
  const std::vector<Hash> hashes = hash_all(now);
  std::set<Hash> sent;
  std::vector<Changed> changed;
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    const DiskStream& stream = now.streams()[i];
    report.data_bytes += stream.bytes;
    const auto [before, how] = former.find(stream);
    if (former.holds(hashes[i]) || !sent.insert(hashes[i]).second) {
      if (before == nullptr) report.copied_bytes += stream.bytes;
      continue;
    }
    changed.push_back({&stream, before, {stream.path, stream.kind, how, stream.bytes, before ? before->bytes : 0, 0}});
  }
  // The largest first, so that both threads end at about the same time.
  std::sort(changed.begin(), changed.end(), [](const auto& a, const auto& b) { return a.row.bytes > b.row.bytes; });
  return changed;
}

std::uint64_t grouped(const StreamedDisk& before, const StreamedDisk& now, std::vector<Changed> changed) {
  constexpr std::uint64_t small = 1 << 20;
  constexpr std::uint64_t group_bytes = 4 << 20;
  std::uint64_t total = 0;
  std::vector<std::pair<Content, Content>> groups;
  std::sort(changed.begin(), changed.end(), [](const auto& a, const auto& b) { return a.row.path < b.row.path; });
  for (const Changed& one : changed) {
    if (one.row.bytes > small || one.row.former_bytes > small) {
      total += one.row.floor_bytes;
      continue;
    }
    if (groups.empty() || groups.back().first.view().size() >= group_bytes) groups.emplace_back();
    groups.back().first.add(now, *one.now);
    if (one.before != nullptr) groups.back().second.add(before, *one.before);
  }
  for (const auto& [content, former] : groups) total += compressor().compressed_bytes(content.view(), former.view());
  return total;
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

}  // namespace

FloorReport compute_floor(const std::filesystem::path& day1, const std::filesystem::path& day2) {
  const double cpu_before = cpu_seconds();
  const StreamedDisk before(day1);
  const StreamedDisk now(day2);
  const FormerStreams former(before);
  FloorReport report;
  report.disk_bytes = now.bytes();
  std::vector<Changed> changed = find_changed(now, former, report);
  in_two_threads(changed.size(), [&](std::size_t i) {
    Changed& one = changed[i];
    Content content;
    Content dictionary;
    content.add(now, *one.now);
    if (one.before != nullptr) dictionary.add(before, *one.before);
    one.row.floor_bytes = compressor().compressed_bytes(content.view(), dictionary.view());
  });
  report.grouped_bytes = grouped(before, now, changed);
  for (Changed& one : changed) {
    report.floor_bytes += one.row.floor_bytes;
    report.rows.push_back(std::move(one.row));
  }
  std::sort(report.rows.begin(), report.rows.end(),
            [](const auto& a, const auto& b) { return a.floor_bytes > b.floor_bytes; });
  report.cpu_seconds = cpu_seconds() - cpu_before;
  return report;
}

}  // namespace vmferry::bench
