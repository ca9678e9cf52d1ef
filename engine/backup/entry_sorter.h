// EntrySorter: sorts key/value entries of any length by key, within a memory budget; what does not fit is sorted in
// runs to an unlinked file and merged on reading. Entries with an equal key come out in the order they went in.
// One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/external_sort.h"

namespace vmferry::backup {

class EntrySorter {
 public:
  EntrySorter(std::filesystem::path directory, std::size_t budget_bytes);

  void add(ByteView key, ByteView value);
  std::uint64_t count() const noexcept { return count_; }
  // In key order. May be called again.
  void visit(const std::function<void(ByteView key, ByteView value)>& use);

 private:
  struct Slot {
    std::size_t at;
    std::uint32_t key_bytes;
    std::uint32_t value_bytes;
  };
  struct Run {
    std::uint64_t offset;
    std::uint64_t length;
  };
  class RunReader;

  void sort_slots();
  void spill();
  ByteView key_of(const Slot& slot) const;
  ByteView value_of(const Slot& slot) const;

  std::filesystem::path directory_;
  std::size_t budget_bytes_;
  Bytes arena_;
  std::vector<Slot> slots_;
  bool sorted_ = true;
  std::uint64_t count_ = 0;
  std::optional<TemporaryFile> file_;
  std::vector<Run> runs_;
};

}  // namespace vmferry::backup
