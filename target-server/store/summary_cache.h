// SummaryCache: points' summaries by object name, size and time, in points.sqlite: listing 10,000 points must not open
// 10,000 files. Only a cache: whatever goes wrong with it, points are read themselves. One thread at a time.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "protocol/point.h"
#include "target-server/store/object_store.h"

namespace vmferry::store {

class SummaryCache {
 public:
  struct Entry {
    ObjectFacts facts;
    PointSummary summary;
  };

  explicit SummaryCache(const std::filesystem::path& file);
  ~SummaryCache();

  std::map<std::string, Entry> load() noexcept;
  void put(std::span<const std::pair<std::string, Entry>> entries) noexcept;
  void remove(std::span<const std::string> names) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;  // null where the file cannot be used
};

Bytes encode_summary(const PointSummary& summary);
PointSummary decode_summary(ByteView bytes);  // Error{malformed}

}  // namespace vmferry::store
