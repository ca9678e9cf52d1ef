#include "point_maker.h"

#include <algorithm>
#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include "protocol/chunker.h"
#include "protocol/error.h"
#include "protocol/transport/transport.h"
#include "target-server/receive/serve_session.h"

namespace vmferry::restore {
namespace {

struct Gathered final : crack::VolumeSink {
  crack::VolumeFacts facts;
  std::map<MftReference, RecordEntry> records;
  std::vector<NameEntry> names;

  void volume(const crack::VolumeFacts& f) override { facts = f; }
  void stream(const crack::StreamEvent& event) override {
    RecordEntry& record = records[event.record];
    record.record = event.record;
    record.streams.push_back(event.stream);
  }
  void file(const NameEntry& name) override {
    names.push_back(name);
    records[name.record].record = name.record;
    ++records[name.record].links;
  }
  void kept(std::uint64_t, std::uint64_t) override {}
  void allocated(std::uint64_t, std::uint64_t) override {}
  void done(const crack::VolumeTotals&) override {}
};

crack::VolumeBytes bytes_of_volume(const std::filesystem::path& image, ByteRange range) {
  crack::VolumeBytes bytes;
  bytes.size_bytes = range.length;
  bytes.read = [file = std::make_shared<std::ifstream>(image, std::ios::binary), range](std::uint64_t offset,
                                                                                        std::span<std::byte> into) {
    file->seekg(static_cast<std::streamoff>(range.offset + offset));
    file->read(reinterpret_cast<char*>(into.data()), static_cast<std::streamsize>(into.size()));
    if (!*file) throw Error(ErrorCode::failed, "a short read of a test's image");
  };
  return bytes;
}

}  // namespace

TestTarget::TestTarget() {
  store::DomainFacts domain;
  domain.uuid = Uuid::random();
  domain.key.bytes.fill(std::byte{7});
  store::Store::init(directory_ / "store", domain);
  store::StoreOptions options;
  options.reserve_fraction = 0;
  store_ = store::Store::open(directory_ / "store", options);
  session_ = connect(memory_transport());
}

TestTarget::~TestTarget() {
  session_.reset();
  for (std::thread& server : servers_) server.join();
}

std::unique_ptr<target::TargetSession> TestTarget::connect(Ends ends) {
  servers_.emplace_back([this, end = std::move(ends.second)] {
    try {
      target_server::serve_session(*end, *store_);
    } catch (const Error&) {
    }
    end->abort();
  });
  return target::TargetSession::open(std::move(ends.first), {Uuid::random(), "host"});
}

ChunkId TestTarget::add_chunk(ByteView content) {
  const ChunkId id = chunk_id_of(store_->domain().key, content);
  add_to(frame_, id, content);
  return id;
}

void TestTarget::add_to(FrameBuilder& frame, const ChunkId& id, ByteView content) {
  if (in_frame_.contains(id) || store_->contains(std::span(&id, 1))[0]) return;
  if (frame.content_bytes() + content.size() > frame_bytes_max || frame.chunk_count() > 500) write(frame);
  frame.add(id, content);
  in_frame_.insert(id);
}

void TestTarget::write(FrameBuilder& frame) {
  if (frame.empty()) return;
  const Bytes built = frame.finish();
  const FrameView view = parse_frame(built);
  store_->append(view);
  for (const FrameChunk& chunk : view.chunks) in_frame_.erase(chunk.id);
}

TreeBuilder::EmitNode TestTarget::emit() {
  return [this](const ChunkId& id, ByteView node) { add_to(node_frame_, id, node); };
}

PointFile TestTarget::make_file(const std::string& name, std::string_view text) {
  write(frame_);  // what is read of a file is no disk's data
  PointFile file;
  file.name = name;
  file.size_bytes = text.size();
  constexpr std::size_t piece = 1000;
  for (std::size_t begin = 0; begin < text.size(); begin += piece) {
    const std::string_view part = text.substr(begin, piece);
    file.chunks.push_back(add_chunk(as_bytes(part)));
    file.chunk_lengths.push_back(static_cast<std::uint32_t>(part.size()));
  }
  return file;
}

std::vector<MapEntry> TestTarget::parts_of(const Bytes& image, const std::vector<std::vector<ByteRange>>& chunks) {
  std::vector<MapEntry> entries;
  for (const std::vector<ByteRange>& chunk : chunks) {
    Bytes content;
    const std::size_t first = entries.size();
    for (const ByteRange& part : chunk) {
      entries.push_back({part, MapKind::data, {}, static_cast<std::uint32_t>(content.size())});
      const ByteView bytes = ByteView(image).subspan(part.offset, static_cast<std::size_t>(part.length));
      content.insert(content.end(), bytes.begin(), bytes.end());
    }
    const ChunkId id = add_chunk(content);
    for (std::size_t i = first; i < entries.size(); ++i) entries[i].chunk = id;
  }
  return entries;
}

PointDisk TestTarget::make_disk(const DiskSpec& spec) {
  const Bytes image = bytes_of(spec.image);
  PointDisk disk;
  disk.key = spec.key;
  disk.file_name = spec.file_name;
  disk.uuid = Uuid::random();
  disk.size_bytes = image.size();
  disk.format = spec.format;
  disk.adapter_type = "lsilogic";
  ImageMapWriter map(store_->domain().key, emit());
  std::uint64_t at = 0;
  const auto add_data = [&](std::uint64_t end) {
    while (at < end) {
      const ByteView piece = ByteView(image).subspan(at, std::min<std::uint64_t>(spec.chunk_bytes, end - at));
      MapEntry entry{{at, piece.size()}, MapKind::zero, {}, 0};
      const bool missing =
          std::any_of(spec.missing_chunks_at.begin(), spec.missing_chunks_at.end(),
                      [&](std::uint64_t offset) { return offset >= at && offset - at < piece.size(); });
      if (missing || !all_zero(piece)) {
        entry.kind = MapKind::data;
        entry.chunk = missing ? chunk_id_of(store_->domain().key, piece) : add_chunk(piece);
        disk.bytes.data += piece.size();
      }
      map.add(entry);
      at += piece.size();
    }
  };
  std::vector<MapEntry> given = parts_of(image, spec.fragmented);
  for (const auto& [range, kind] : spec.left_out) given.push_back({range, kind, {}, 0});
  std::ranges::sort(given, {}, [](const MapEntry& entry) { return entry.disk.offset; });
  for (const MapEntry& entry : given) {
    add_data(entry.disk.offset);
    map.add(entry);
    if (entry.kind == MapKind::data) disk.bytes.data += entry.disk.length;
    if (entry.kind == MapKind::free) disk.bytes.free += entry.disk.length;
    if (entry.kind == MapKind::excluded) disk.bytes.excluded += entry.disk.length;
    at = entry.disk.end();
  }
  add_data(image.size());
  disk.image_map = map.finish(image.size());
  std::uint32_t number = 0;
  for (const VolumeSpec& volume : spec.volumes) disk.volumes.push_back(make_volume(spec.image, volume, ++number));
  return disk;
}

PointVolume TestTarget::make_volume(const std::filesystem::path& image, const VolumeSpec& spec, std::uint32_t number) {
  PointVolume volume;
  volume.partition = number;
  volume.range = spec.range;
  volume.label = spec.label;
  volume.cracked = spec.cracked;
  if (!spec.cracked) return volume;
  Gathered gathered;
  crack::crack_volume(bytes_of_volume(image, spec.range), {}, gathered);
  volume.file_system = "ntfs";
  volume.cluster_bytes = gathered.facts.cluster_bytes;
  volume.mft_record_bytes = gathered.facts.mft_record_bytes;
  std::vector<RecordEntry> records;
  for (auto& [reference, record] : gathered.records) records.push_back(std::move(record));
  if (spec.change) spec.change(gathered.names, records);
  std::map<std::string, Bytes> entries;
  const auto text = [](const Bytes& bytes) { return std::string(as_text(bytes)); };
  for (const NameEntry& name : gathered.names)
    entries[text(name_key(name.parent, upcase_simple(name.name), name.name))] = encode_name(name);
  for (RecordEntry& record : records)
    for (const RecordEntry& part : split_record(std::move(record)))
      entries[text(record_key(part.record, part.part))] = encode_record(part);
  TreeBuilder tree(store_->domain().key, emit());
  for (const auto& [key, value] : entries) tree.add(as_bytes(key), value);
  volume.file_index = tree.finish();
  return volume;
}

RestorePoint TestTarget::make_point(const std::vector<DiskSpec>& disks) {
  RestorePoint point;
  point.uuid = Uuid::random();
  point.machine_uuid = Uuid::random();
  point.machine_name = "web1";
  point.client_uuid = Uuid::random();
  point.client_name = "host";
  point.domain_uuid = store_->domain().uuid;
  point.software = "vmferry test";
  for (const DiskSpec& disk : disks) point.disks.push_back(make_disk(disk));
  return point;
}

RestorePoint TestTarget::add(RestorePoint point) {
  write(frame_);
  write(node_frame_);
  store_->sync();
  const Uuid uuid = store_->add_point(std::move(point)).uuid;
  return session_->point(uuid);
}

Bytes bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  EXPECT_TRUE(in) << file;
  Bytes bytes(std::filesystem::file_size(file));
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  EXPECT_EQ(static_cast<std::size_t>(in.gcount()), bytes.size()) << file;
  return bytes;
}

Bytes zeroed(Bytes bytes, const std::vector<ByteRange>& ranges) {
  for (const ByteRange& range : ranges)
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(range.offset), range.length, std::byte{0});
  return bytes;
}

bool has_warning(const RestoreResult& result, std::string_view code) {
  return std::any_of(result.warnings.begin(), result.warnings.end(), [&](const Warning& w) { return w.code == code; });
}

}  // namespace vmferry::restore
