#include "tests/unit/session/session_fixture.h"

#include <algorithm>

#include "protocol/frame.h"

namespace vmferry::test {

Content make_content(const target::TargetFacts& facts, const MachineName& name, std::size_t count,
                     const std::function<std::uint64_t(std::size_t)>& seeds) {
  Content content;
  ImageMapWriter map(facts.domain_key, [&](const ChunkId& id, ByteView node) {
    content.chunks[id] = Bytes(node.begin(), node.end());
  });
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t seed = seeds(i);
    const Bytes bytes = text_bytes(seed, 4096 + Random(seed).below(30) * 512);
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

SessionTest::SessionTest() {
  store::Store::init(directory_ / "store");
  store_ = store::Store::open(directory_ / "store");
}

SessionTest::~SessionTest() {
  for (auto& session : served_)
    if (session.valid()) session.wait();
}

std::unique_ptr<Transport> SessionTest::serve_end() {
  auto [client_end, server_end] = memory_transport();
  served_.push_back(std::async(std::launch::async, [this, end = std::move(server_end)] {
    try {
      target_server::serve_session(*end, *store_, options_);
      return std::string();
    } catch (const Error& error) {
      return std::string(error_code_name(error.code())) + ": " + error.what();
    }
  }));
  return std::move(client_end);
}

std::unique_ptr<target::TargetSession> SessionTest::connect(const std::string& client) {
  return target::TargetSession::open(serve_end(), {uuid_of(client), client});
}

std::string SessionTest::served(std::size_t session) { return served_.at(session).get(); }

target::BackupOpening SessionTest::opening(const MachineName& name) const {
  target::BackupOpening opening;
  opening.machine_uuid = uuid_of(name.machine);
  opening.machine_name = name.machine;
  opening.disk_uuids = {uuid_of(name.disk)};
  return opening;
}

std::size_t SessionTest::send_wanted(target::TargetSession& session, const Content& content) {
  const std::vector<ChunkId> ids = content.ids();
  std::vector<std::promise<std::vector<ChunkId>>> wanted((ids.size() + 99) / 100);
  for (std::size_t batch = 0; batch < wanted.size(); ++batch) {
    const std::vector<ChunkId> some(ids.begin() + static_cast<std::ptrdiff_t>(batch * 100),
                                    ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), batch * 100 + 100)));
    session.offer(some, [some, &promise = wanted[batch]](target::WantBitmap bitmap) {
      std::vector<ChunkId> missing;
      for (std::size_t i = 0; i < bitmap.size(); ++i)
        if (bitmap[i]) missing.push_back(some[i]);
      promise.set_value(std::move(missing));
    });
  }
  std::size_t sent = 0;
  for (auto& promise : wanted) {
    const std::vector<ChunkId> missing = promise.get_future().get();
    sent += missing.size();
    for (const Bytes& frame : frames_of(content, missing)) session.send_frame(frame);
  }
  return sent;
}

target::CommitResult SessionTest::back_up(target::TargetSession& session, const Content& content) {
  send_wanted(session, content);
  return session.commit(content.point);
}

}  // namespace vmferry::test
