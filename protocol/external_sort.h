// ExternalSorter: sorts fixed-size records of trivially copyable T within a memory budget; what does not fit is
// sorted in runs to an unlinked file in `directory` and merged on reading. One thread. Memory: budget_bytes.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <type_traits>
#include <vector>

#include "protocol/error.h"

namespace vmferry {

// A file without a name, closed and gone with its owner. Throws Error. For spools of all kinds.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& directory);
  ~TemporaryFile();
  TemporaryFile(TemporaryFile&& other) noexcept;
  TemporaryFile& operator=(TemporaryFile&& other) noexcept;

  void append(const void* data, std::size_t length);
  void read(std::uint64_t offset, void* into, std::size_t length) const;  // throws at the end of the file
  std::uint64_t size() const noexcept { return size_; }

 private:
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

template <typename T, typename Less = std::less<T>>
class ExternalSorter {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  ExternalSorter(std::filesystem::path directory, std::size_t budget_bytes, Less less = {})
      : directory_(std::move(directory)),
        records_max_(std::max<std::size_t>(1024, budget_bytes / sizeof(T))),
        less_(less) {}

  void add(const T& record) {
    if (buffer_.size() == records_max_) spill();
    buffer_.push_back(record);
    ++count_;
  }
  std::uint64_t count() const noexcept { return count_; }

  // No add() after this. May be called again to read from the start.
  void rewind() {
    if (!sorted_) {
      std::stable_sort(buffer_.begin(), buffer_.end(), less_);
      sorted_ = true;
    }
    if (!spilled_.empty() && !buffer_.empty()) spill();
    position_ = 0;
    heads_.clear();
    const std::size_t share = std::max<std::size_t>(64, records_max_ / std::max<std::size_t>(1, spilled_.size()));
    for (const Run& run : spilled_) {
      heads_.push_back(Head{run, {}, 0, share});
      refill(heads_.back());
    }
    heap_.clear();
    for (std::size_t i = 0; i < heads_.size(); ++i)
      if (heads_[i].at < heads_[i].records.size()) heap_.push_back(i);
    std::make_heap(heap_.begin(), heap_.end(), later());
  }

  std::optional<T> next() {
    if (spilled_.empty()) {
      if (position_ == buffer_.size()) return std::nullopt;
      return buffer_[position_++];
    }
    if (heap_.empty()) return std::nullopt;
    std::pop_heap(heap_.begin(), heap_.end(), later());
    Head& head = heads_[heap_.back()];
    const T record = head.records[head.at++];
    if (head.at == head.records.size()) refill(head);
    if (head.at < head.records.size())
      std::push_heap(heap_.begin(), heap_.end(), later());
    else
      heap_.pop_back();
    return record;
  }

 private:
  struct Run {
    std::uint64_t offset;
    std::uint64_t records;
  };
  struct Head {
    Run rest;
    std::vector<T> records;
    std::size_t at;
    std::size_t share;
  };

  // Equal records come out in the order of their runs, so the sort is stable.
  auto later() const {
    return [this](std::size_t a, std::size_t b) {
      const T& left = heads_[a].records[heads_[a].at];
      const T& right = heads_[b].records[heads_[b].at];
      if (less_(right, left)) return true;
      if (less_(left, right)) return false;
      return a > b;
    };
  }

  void spill() {
    std::stable_sort(buffer_.begin(), buffer_.end(), less_);
    if (!file_) file_.emplace(directory_);
    spilled_.push_back(Run{file_->size(), buffer_.size()});
    file_->append(buffer_.data(), buffer_.size() * sizeof(T));
    buffer_.clear();
  }

  void refill(Head& head) {
    const std::uint64_t take = std::min<std::uint64_t>(head.share, head.rest.records);
    head.records.resize(static_cast<std::size_t>(take));
    head.at = 0;
    if (take == 0) return;
    file_->read(head.rest.offset, head.records.data(), head.records.size() * sizeof(T));
    head.rest.offset += take * sizeof(T);
    head.rest.records -= take;
  }

  std::filesystem::path directory_;
  std::size_t records_max_;
  Less less_;
  std::vector<T> buffer_;
  std::uint64_t count_ = 0;
  bool sorted_ = false;
  std::optional<TemporaryFile> file_;
  std::vector<Run> spilled_;
  std::vector<Head> heads_;
  std::vector<std::size_t> heap_;
  std::size_t position_ = 0;
};

}  // namespace vmferry
