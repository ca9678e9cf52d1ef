// link: protocol target_server
// Bytes of a hostile client into a whole server session. The input is a list of packets (type u8, length u16, payload):
// lengths, checksums, the hello, an open backup and a stored chunk for deltas to build on (in_store) are made right here, so
// that the fuzzer gets past them; type 10 is a delta whose frame's checksum is put right; an
// input that begins with 0xff is the raw stream instead. The store keeps its frames in memory, for a real one syncs to the disk
// and lets the fuzzer run three times a second.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>

#include "protocol/checksum.h"
#include "protocol/control.h"
#include "protocol/error.h"
#include "protocol/frame.h"
#include "protocol/messages.pb.h"
#include "protocol/wire.h"
#include "target-server/receive/serve_session.h"

namespace {

using namespace vmferry;

// Receives what is given, swallows what is sent.
class OneWay final : public Transport {
 public:
  explicit OneWay(Bytes bytes) : bytes_(std::move(bytes)) {}
  void send(std::span<const ByteView>) override {}
  std::size_t receive(std::span<std::byte> into) override {
    const std::size_t count = std::min(into.size(), bytes_.size() - at_);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), count, into.begin());
    at_ += count;
    return count;
  }
  void finish_sending() override {}
  void abort() noexcept override {}
  TransportCounts counts() const noexcept override { return {}; }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
};

class Collector final : public Transport {
 public:
  void send(std::span<const ByteView> parts) override {
    for (const ByteView part : parts) bytes.insert(bytes.end(), part.begin(), part.end());
  }
  std::size_t receive(std::span<std::byte>) override { return 0; }
  void finish_sending() override {}
  void abort() noexcept override {}
  TransportCounts counts() const noexcept override { return {}; }
  Bytes bytes;
};

class MemoryStore final : public store::Store {
 public:
  MemoryStore() {
    domain_.uuid = Uuid::derived(as_bytes("domain"));
    domain_.key.bytes.fill(std::byte{'k'});
  }
  const Uuid& uuid() const noexcept override { return uuid_; }
  const store::DomainFacts& domain() const noexcept override { return domain_; }
  std::vector<bool> contains(std::span<const ChunkId> ids) override {
    const std::lock_guard lock(mutex_);
    std::vector<bool> present;
    for (const ChunkId& id : ids) present.push_back(frame_of_.contains(id));
    return present;
  }
  std::uint64_t append(const FrameView& frame) override {
    const std::lock_guard lock(mutex_);
    for (const FrameChunk& chunk : frame.chunks) frame_of_.emplace(chunk.id, frames_.size());
    frames_.emplace_back(frame.whole.begin(), frame.whole.end());
    return frame.whole.size();
  }
  void sync() override {}
  std::vector<Located> locate(std::span<const ChunkId> ids, std::vector<ChunkId>& missing) override {
    const std::lock_guard lock(mutex_);
    std::map<std::size_t, std::vector<ChunkId>> by_frame;
    for (const ChunkId& id : std::set<ChunkId>(ids.begin(), ids.end())) {
      const auto found = frame_of_.find(id);
      if (found == frame_of_.end())
        missing.push_back(id);
      else
        by_frame[found->second].push_back(id);
    }
    std::vector<Located> located;
    for (auto& [frame, in_it] : by_frame)
      located.push_back({{uuid_, frame, static_cast<std::uint32_t>(frames_[frame].size())}, std::move(in_it)});
    return located;
  }
  Bytes read_frame(const store::FrameLocation& location) override {
    const std::lock_guard lock(mutex_);
    return frames_.at(location.offset);
  }
  void recheck(std::span<const ChunkId>, bool) override {}
  bool any_lost() const override { return false; }
  std::vector<ChunkId> lost(std::size_t) override { return {}; }
  std::unique_ptr<ChunkSource> chunk_source() override { return std::make_unique<Source>(*this); }
  std::vector<PointSummary> points() override {
    std::vector<PointSummary> all;
    for (const RestorePoint& point : points_) all.push_back(summarize(point));
    return all;
  }
  RestorePoint point(const Uuid& wanted) override {
    for (const RestorePoint& point : points_)
      if (point.uuid == wanted) return point;
    throw Error(ErrorCode::not_found, "there is no such point");
  }
  Bytes encoded_point(const Uuid& wanted) override { return encode_point(point(wanted)); }
  bool add_replica_point(ByteView encoded) override {
    points_.push_back(decode_point(encoded));
    return true;
  }
  RestorePoint add_point(RestorePoint point) override {
    point.number = points_.size() + 1;
    points_.push_back(point);
    return point;
  }
  void remove_point(const Uuid&, bool) override {}
  std::unique_ptr<Lease> lease(const Uuid&, const Uuid&, std::span<const Uuid>) override {
    return std::make_unique<Held>();
  }
  void pin(const Uuid&, const Uuid&, const std::string&) override {}
  void unpin(const Uuid&, const Uuid&) noexcept override {}
  std::vector<store::Pin> pins() override { return {}; }
  store::StoreStatus status() override { return {}; }
  void seal(std::uint64_t) override {}
  std::vector<store::DamagedPoint> damaged_points() override { return {}; }
  const std::vector<Warning>& notes() const noexcept override { return notes_; }

 private:
  struct Held final : Lease {
    const Uuid& session() const noexcept override { return id; }
    Uuid id;
  };
  class Source final : public ChunkSource {
   public:
    explicit Source(MemoryStore& store) : store_(store) {}
    void get(std::span<const ChunkId> ids, const Use& use) override {
      std::vector<ChunkId> missing;
      for (const Located& located : store_.locate(ids, missing)) {
        const Bytes bytes = store_.read_frame(located.frame);
        const auto use_wanted = [&](const ChunkId& id, ByteView content) {
          if (std::find(located.ids.begin(), located.ids.end(), id) != located.ids.end()) use(id, content);
        };
        FrameDecoder().decode_verified(parse_frame(bytes), store_.domain_.key, use_wanted);
      }
      if (!missing.empty()) throw Error(ErrorCode::damaged, "a chunk is missing");
    }

   private:
    MemoryStore& store_;
  };

  Uuid uuid_ = Uuid::derived(as_bytes("store"));
  store::DomainFacts domain_;
  std::mutex mutex_;
  std::map<ChunkId, std::size_t> frame_of_;
  std::vector<Bytes> frames_;
  std::vector<RestorePoint> points_;
  std::vector<Warning> notes_;
};

constexpr std::string_view in_store = "a chunk that deltas may build on";

Bytes stream_of(ByteView input) {
  Collector collector;
  wire::PacketWriter writer(collector);
  messages::Control control;
  control.mutable_hello()->set_magic(wire::hello_magic);
  control.mutable_hello()->set_major(wire::version_major);
  control.mutable_hello()->set_minor(wire::version_minor);
  control.mutable_hello()->set_features(wire::features);
  control.mutable_hello()->set_client_uuid(std::string(16, 'c'));
  wire::send_control(writer, control);
  control.Clear();
  control.set_request(1);
  control.mutable_open_backup()->set_machine_uuid(std::string(16, 'm'));
  control.mutable_open_backup()->set_machine_name("web1");
  wire::send_control(writer, control);

  FrameBuilder builder(1);
  DomainKey key;
  key.bytes.fill(std::byte{'k'});
  builder.add(chunk_id_of(key, as_bytes(in_store)), as_bytes(in_store));
  writer.send(wire::PacketType::frame, {builder.finish()});

  while (input.size() >= 3) {
    const unsigned kind = std::to_integer<std::uint8_t>(input[0]) % 11;
    const bool whole_delta = kind == 10;
    const auto type = whole_delta ? wire::PacketType::delta : static_cast<wire::PacketType>(kind);
    std::size_t length = std::to_integer<std::size_t>(input[1]) | std::to_integer<std::size_t>(input[2]) << 8;
    input = input.subspan(3);
    length = std::min({length, input.size(), wire::payload_bytes_max(type)});
    if (whole_delta) {
      ByteWriter checksum;
      checksum.u64(checksum64(input.first(length)));
      writer.send(type, {wire::encode_number(1), input.first(length), checksum.view()});
    } else {
      writer.send(type, {input.first(length)});
    }
    input = input.subspan(length);
  }
  return std::move(collector.bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  MemoryStore memory;
  const ByteView input(reinterpret_cast<const std::byte*>(data), size);
  const bool raw = size > 0 && data[0] == 0xff;
  OneWay transport(raw ? Bytes(input.begin() + 1, input.end()) : stream_of(input));
  try {
    target_server::serve_session(transport, memory);
  } catch (const Error&) {
  }
  return 0;
}
