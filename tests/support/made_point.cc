#include "tests/support/made_point.h"

#include "protocol/frame.h"
#include "protocol/image_map.h"
#include "tests/support/content.h"

namespace vmferry::test {

Content make_content(const target::TargetFacts& facts, const MachineName& name, std::size_t count,
                     const std::function<std::uint64_t(std::size_t)>& seeds) {
  std::vector<Bytes> chunks;
  for (std::size_t i = 0; i < count; ++i)
    chunks.push_back(text_bytes(seeds(i), 4096 + Random(seeds(i)).below(30) * 512));
  return content_of(facts, name, chunks);
}

Content content_of(const target::TargetFacts& facts, const MachineName& name, std::span<const Bytes> chunks) {
  Content content;
  ImageMapWriter map(facts.domain_key, [&](const ChunkId& id, ByteView node) {
    content.chunks[id] = Bytes(node.begin(), node.end());
  });
  std::uint64_t offset = 0;
  for (const Bytes& bytes : chunks) {
    const ChunkId id = chunk_id_of(facts.domain_key, bytes);
    content.chunks[id] = bytes;
    map.add({{offset, bytes.size()}, MapKind::data, id, 0});
    offset += bytes.size();
  }
  map.add({{offset, 65536}, MapKind::free, {}, 0});
  offset += 65536;

  RestorePoint& point = content.point;
  point.uuid = Uuid::random();
  point.machine_uuid = uuid_of(name.machine);
  point.machine_name = name.machine;
  point.client_uuid = uuid_of(name.client);
  point.client_name = name.client;
  point.domain_uuid = facts.domain_uuid;
  point.taken_ms = 1'764'000'000'000;
  point.software = "vmferry 0.1.0";
  PointDisk disk;
  disk.key = "disk0";
  disk.file_name = name.disk + ".vmdk";
  disk.uuid = uuid_of(name.disk);
  disk.size_bytes = offset;
  disk.image_map = map.finish(offset);
  disk.bytes.data = offset - 65536;
  disk.bytes.free = 65536;
  disk.format = "monolithicSparse";
  point.disks.push_back(disk);
  return content;
}

std::vector<Bytes> frames_of(const Content& content, const std::vector<ChunkId>& ids, std::size_t chunks_per_frame) {
  std::vector<Bytes> frames;
  FrameBuilder builder(1);
  for (const ChunkId& id : ids) {
    builder.add(id, content.chunks.at(id));
    if (builder.chunk_count() == chunks_per_frame) frames.push_back(builder.finish());
  }
  if (!builder.empty()) frames.push_back(builder.finish());
  return frames;
}

}  // namespace vmferry::test
