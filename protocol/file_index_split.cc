#include <utility>

#include "protocol/error.h"
#include "protocol/file_index.h"
#include "protocol/limits.h"

namespace vmferry {
namespace {

// Bounds of what encode_record writes: varints of the sizes that the fields can take.
constexpr std::size_t record_head_bytes_max = 1 + 3 + 3 + 3;
constexpr std::size_t stream_head_bytes_max = 5 + 2 + 3 + 1 + 10 + 10 + 10;
constexpr std::size_t run_bytes_max = 9 + 9;  // clusters and places are below 2^60

std::size_t head_bytes(const StreamEntry& stream) { return stream_head_bytes_max + 2 * stream.name.size(); }

StreamEntry without_runs(const StreamEntry& stream) {
  StreamEntry head = stream;
  head.runs.clear();
  return head;
}

}  // namespace

std::vector<RecordEntry> split_record(RecordEntry whole) {
  std::size_t bound = record_head_bytes_max;
  for (const StreamEntry& stream : whole.streams) bound += head_bytes(stream) + stream.runs.size() * run_bytes_max;
  if (bound <= limits::tree_value_max) return {std::move(whole)};

  std::vector<RecordEntry> parts;
  std::size_t used = 0;
  const auto begin_part = [&](bool continues) {
    if (parts.size() > 0xffff)
      throw Error(ErrorCode::unsupported, "a file is too fragmented",
                  "MFT record " + std::to_string(mft_record_number(whole.record)));
    if (!parts.empty()) parts.back().more_parts = true;
    RecordEntry& part = parts.emplace_back();
    part.record = whole.record;
    part.links = whole.links;
    part.part = static_cast<std::uint16_t>(parts.size() - 1);
    part.continues = continues;
    used = record_head_bytes_max;
  };
  const auto begin_stream = [&](const StreamEntry& stream, bool continues) {
    if (continues || used + head_bytes(stream) > limits::tree_value_max) begin_part(continues);
    parts.back().streams.push_back(without_runs(stream));
    used += head_bytes(stream);
  };

  begin_part(false);
  for (const StreamEntry& stream : whole.streams) {
    begin_stream(stream, false);
    for (const StreamRun& run : stream.runs) {
      if (used + run_bytes_max > limits::tree_value_max) begin_stream(stream, true);
      parts.back().streams.back().runs.push_back(run);
      used += run_bytes_max;
    }
  }
  return parts;
}

}  // namespace vmferry
