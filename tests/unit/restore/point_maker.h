// A real store that is served over a memory transport, and restore points made in it by hand: chunks cut at places of
// our own, ids of a key of our own (so that trees have the same shape each time), image maps and file indexes that may
// be changed before they are written (hostile names, missing chunks).
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/restore/restore.h"
#include "protocol/file_index.h"
#include "protocol/image_map.h"
#include "protocol/transport/transport.h"
#include "target-server/store/store.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::restore {

struct VolumeSpec {
  ByteRange range;
  std::string label = "Data";
  // Called with what the cracker found, before the file index is written.
  std::function<void(std::vector<NameEntry>& names, std::vector<RecordEntry>& records)> change = {};
  bool cracked = true;
};

struct DiskSpec {
  std::filesystem::path image;                            // raw
  std::string key = "disk0";
  std::string file_name = "disk.vmdk";
  std::string format = "monolithicSparse";
  std::vector<std::pair<ByteRange, MapKind>> left_out = {};  // by offset
  std::vector<std::uint64_t> missing_chunks_at = {};      // chunks that hold these disk offsets are not stored
  std::vector<VolumeSpec> volumes = {};
  std::size_t chunk_bytes = 50'000;                       // on purpose no multiple of a sector
  std::vector<std::vector<ByteRange>> fragmented = {};     // chunks that lie in several places each: their parts, in order
};

class TestTarget {
 public:
  TestTarget();
  ~TestTarget();

  // A point of a machine with these disks; add files and write it with add().
  RestorePoint make_point(const std::vector<DiskSpec>& disks);
  static constexpr std::size_t frame_bytes_max = 256 << 10;  // content of one
  static constexpr std::uint64_t sent_frame_bytes_max = frame_bytes_max + 4096;  // with its head
  PointFile make_file(const std::string& name, std::string_view text);
  RestorePoint add(RestorePoint point);
  target::TargetSession& session() { return *session_; }
  // Another session, over these ends of a transport. It must not outlive this.
  using Ends = std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>>;
  std::unique_ptr<target::TargetSession> connect(Ends ends);
  std::filesystem::path spool() const { return directory_.path(); }

 private:
  ChunkId add_chunk(ByteView content);
  void add_to(FrameBuilder& frame, const ChunkId& id, ByteView content);
  void write(FrameBuilder& frame);
  std::vector<MapEntry> parts_of(const Bytes& image, const std::vector<std::vector<ByteRange>>& chunks);
  PointDisk make_disk(const DiskSpec& spec);
  PointVolume make_volume(const std::filesystem::path& image, const VolumeSpec& spec, std::uint32_t number);
  TreeBuilder::EmitNode emit();

  test::TemporaryDirectory directory_;
  std::unique_ptr<store::Store> store_;
  FrameBuilder frame_{1}, node_frame_{1};  // nodes never share a frame with data, as in a backup
  std::set<ChunkId> in_frame_;             // of either
  std::vector<std::thread> servers_;
  std::unique_ptr<target::TargetSession> session_;
};

// The raw bytes of a file of the host.
Bytes bytes_of(const std::filesystem::path& file);
// Zeros over the ranges of a copy of the bytes.
Bytes zeroed(Bytes bytes, const std::vector<ByteRange>& ranges);
bool has_warning(const RestoreResult& result, std::string_view code);

inline RestoreEvents no_events;
inline std::atomic<bool> not_cancelled{false};

}  // namespace vmferry::restore
