// RestoreLog: gathers what goes into a RestoreResult besides its numbers: warnings, bounded in number, and what is
// counted over all files and told in one sentence. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "engine/restore/restore.h"

namespace vmferry::restore {

class RestoreLog {
 public:
  RestoreLog(RestoreResult& result, RestoreEvents& events) : result_(result), events_(events) {}

  void warn(Warning warning);
  void reparse_point(const std::string& path);
  void named_stream(const std::string& path, const std::string& stream);
  void security_descriptor() { ++descriptors_; }
  void finish();  // once, at the end: the sentences of what was counted

 private:
  RestoreResult& result_;
  RestoreEvents& events_;
  std::uint64_t warnings_ = 0;
  std::uint64_t reparse_points_ = 0, named_streams_ = 0, zone_identifiers_ = 0, descriptors_ = 0;
  std::string first_reparse_point_, first_named_stream_;
};

}  // namespace vmferry::restore
