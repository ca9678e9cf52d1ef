// link: crack
// The parent's decoders of what the sandboxed child says: whatever it is, a sink sees only what keeps the promises
// of volume_events.h.
#include <cstdint>
#include <cstdlib>

#include "engine/crack/event_codec.h"
#include "protocol/error.h"

namespace {

using namespace vmferry;
using namespace vmferry::crack;

constexpr std::uint64_t volume_bytes = std::uint64_t{1} << 32;

void require(bool holds) {
  if (!holds) std::abort();
}

struct StrictSink final : VolumeSink {
  std::uint64_t clusters = 0, cluster_bytes = 0, allocated_end = 0, last_record = 0;
  bool done_seen = false;

  void volume(const VolumeFacts& facts) override {
    require(clusters == 0);
    clusters = facts.clusters;
    cluster_bytes = facts.cluster_bytes;
    require(clusters > 0 && clusters * cluster_bytes <= volume_bytes);
  }
  void check_range(std::uint64_t lcn, std::uint64_t count) {
    require(count > 0 && lcn < clusters && count <= clusters - lcn && !done_seen);
  }
  void stream(const StreamEvent& event) override {
    require(mft_record_number(event.record) >= last_record && event.stream.name.size() <= 255 && event.excludable <= 2);
    last_record = mft_record_number(event.record);
    std::uint64_t total = 0;
    for (const StreamRun& run : event.stream.runs) {
      if (run.lcn != StreamRun::run_hole) check_range(run.lcn, run.clusters);
      require(!__builtin_add_overflow(total, run.clusters, &total));
    }
    require(event.stream.resident || event.stream.data_bytes <= total * cluster_bytes);
    require(event.stream.initialized_bytes <= event.stream.data_bytes);
  }
  void file(const NameEntry& name) override { require(!name.name.empty() && name.name.size() <= 255 && clusters > 0); }
  void kept(std::uint64_t lcn, std::uint64_t count) override { check_range(lcn, count); }
  void allocated(std::uint64_t lcn, std::uint64_t count) override {
    check_range(lcn, count);
    require(lcn >= allocated_end);
    allocated_end = lcn + count;
  }
  void done(const VolumeTotals& totals) override {
    require(!done_seen && totals.problems.size() <= 100);
    done_seen = true;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView input(reinterpret_cast<const std::byte*>(data + 1), size - 1);
  try {
    if ((data[0] & 1) != 0) {
      std::uint64_t at = 0;
      FileAnswerDecoder::Use use;
      use.piece = [&](std::uint64_t file_offset, std::uint64_t offset, std::uint64_t length) {
        require(file_offset >= at && length > 0 && offset <= volume_bytes && length <= volume_bytes - offset);
        at = file_offset + length;
      };
      use.data = [&](std::uint64_t file_offset, ByteView bytes) {
        require(file_offset >= at && !bytes.empty());
        at = file_offset + bytes.size();
      };
      FileAnswerDecoder(volume_bytes, use).feed(input);
      return 0;
    }
    StrictSink sink;
    EventDecoder decoder(volume_bytes, sink);
    if ((data[0] & 2) != 0) {  // a volume to begin with
      ByteWriter volume;
      volume.u8(1), volume.string("x"), volume.u64(1), volume.varint(4096), volume.varint(1024), volume.varint(1 << 20);
      volume.u8(3), volume.u8(1), volume.u8(6);
      decoder.feed(volume.view());
    }
    const std::size_t half = (data[0] & 4) != 0 ? input.size() / 2 : input.size();
    decoder.feed(input.first(half));
    decoder.feed(input.subspan(half));
    decoder.finish();
    require(sink.done_seen);
  } catch (const Error&) {
  }
  return 0;
}
