#include "engine/restore/restore_log.h"

namespace vmferry::restore {
namespace {

constexpr std::uint64_t warnings_max = 1000;

std::string counted(std::uint64_t count, const std::string& one, const std::string& many) {
  return count == 1 ? "1 " + one + " was" : std::to_string(count) + " " + many + " were";
}

}  // namespace

void RestoreLog::warn(Warning warning) {
  events_.warning(warning);
  if (++warnings_ <= warnings_max) result_.warnings.push_back(std::move(warning));
}

void RestoreLog::reparse_point(const std::string& path) {
  if (reparse_points_++ == 0) first_reparse_point_ = path;
}

void RestoreLog::named_stream(const std::string& path, const std::string& stream) {
  // Where a file was downloaded from: on most files of a user, and nothing of the file itself.
  if (stream == "Zone.Identifier") {
    ++zone_identifiers_;
  } else if (named_streams_++ == 0) {
    first_named_stream_ = path + ":" + stream;
  }
}

void RestoreLog::finish() {
  const auto add = [&](Warning warning) {  // past the bound too
    events_.warning(warning);
    result_.warnings.push_back(std::move(warning));
  };
  if (warnings_ > warnings_max)
    result_.warnings.push_back(
        {"more_warnings", {}, std::to_string(warnings_ - warnings_max) + " more warnings are not shown"});
  if (reparse_points_ > 0)
    add({"reparse_points", first_reparse_point_,
          counted(reparse_points_, "reparse point (link or junction)", "reparse points (links, junctions)") +
             " not restored; the first: " + first_reparse_point_});
  if (named_streams_ > 0)
    add({"named_streams", first_named_stream_,
         counted(named_streams_, "named stream", "named streams") +
             " not restored; the first: " + first_named_stream_});
  if (zone_identifiers_ > 0)
    result_.notes.push_back(counted(zone_identifiers_, "Zone.Identifier stream", "Zone.Identifier streams") +
                            " not restored");
  if (descriptors_ > 0)
    result_.notes.push_back("the security descriptors of " + std::to_string(descriptors_) +
                            (descriptors_ == 1 ? " file" : " files") + " were not restored");
}

}  // namespace vmferry::restore
