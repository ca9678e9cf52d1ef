#include "copy_fixture.h"

#include <algorithm>
#include <fstream>
#include <future>

#include "protocol/image_map.h"
#include "target-server/receive/serve_session.h"
#include "target-server/store/local_files.h"

namespace vmferry::target_server {

using test::uuid_of;

namespace {

// Controllers never put nodes and chunks of streams into one frame.
bool is_node(ByteView chunk) {
  try {
    parse_tree_node(chunk);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

CopyTest::CopyTest() {
  store::Store::init(near());
  store::Store::init(far(), open(near())->domain());
}

std::unique_ptr<store::Store> CopyTest::open(const std::filesystem::path& store) {
  store::StoreOptions options;
  options.reserve_fraction = 0;
  return store::Store::open(store, options);
}

std::unique_ptr<target::TargetSession> CopyTest::connect(const std::filesystem::path& store, const std::string& client,
                                                         target::ClientRole role) {
  return target::TargetSession::open(embedded_target(open(store)), {uuid_of(client), client, role});
}

RestorePoint CopyTest::back_up(const std::filesystem::path& store, const test::MachineName& name, std::size_t count,
                               const std::function<std::uint64_t(std::size_t)>& seeds, std::size_t chunks_per_frame) {
  const auto session = connect(store, name.client, target::ClientRole::controller);
  return commit(*session, test::make_content(session->facts(), name, count, seeds), chunks_per_frame);
}

RestorePoint CopyTest::back_up(const std::filesystem::path& store, const test::MachineName& name,
                               std::span<const Bytes> chunks) {
  const auto session = connect(store, name.client, target::ClientRole::controller);
  return commit(*session, test::content_of(session->facts(), name, chunks), 16);
}

RestorePoint CopyTest::commit(target::TargetSession& session, const test::Content& content,
                              std::size_t chunks_per_frame) {
  target::BackupOpening opening;
  opening.machine_uuid = content.point.machine_uuid;
  opening.machine_name = content.point.machine_name;
  opening.disk_uuids = {content.point.disks[0].uuid};
  session.open_backup(opening);
  std::vector<ChunkId> ids = content.ids(), wanted;
  std::promise<target::WantBitmap> answer;
  session.offer(ids, [&](target::WantBitmap bitmap) { answer.set_value(std::move(bitmap)); });
  const target::WantBitmap bitmap = answer.get_future().get();
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (bitmap[i]) wanted.push_back(ids[i]);
  const auto nodes = std::ranges::partition(wanted, [&](const ChunkId& id) { return !is_node(content.chunks.at(id)); });
  for (const auto& [first, last] : {std::pair(wanted.begin(), nodes.begin()), std::pair(nodes.begin(), wanted.end())})
    for (const Bytes& frame : test::frames_of(content, {first, last}, chunks_per_frame)) session.send_frame(frame);
  return session.commit(content.point).point;
}

Copied CopyTest::copy(At at, const FerryOptions& options) {
  const auto from = connect(near(), "replica", target::ClientRole::replica);
  const auto to = connect(far(), "replica", target::ClientRole::replica);
  check_same_domain(*from, *to);
  const std::vector<PointSummary> points = from->points();
  const CopyPlan plan = plan_copy(points, points, to->points());
  Copied copied;
  copy_points({*from, *to, at == At::source ? *from : *to}, plan.missing, plan.both, options, copied);
  const TransportCounts counts = (at == At::source ? to : from)->counts();
  far_bytes_ = counts.sent_bytes + counts.received_bytes;
  return copied;
}

std::map<std::string, Bytes> CopyTest::point_files(const std::filesystem::path& store) const {
  std::map<std::string, Bytes> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(store / "points"))
    if (entry.is_regular_file())
      files[entry.path().lexically_relative(store).string()] = store::read_whole(entry.path(), 1 << 22);
  return files;
}

ChunkId CopyTest::damage(const std::filesystem::path& store, const RestorePoint& point, std::uint64_t offset) {
  const auto opened = open(store);
  const auto source = opened->chunk_source();
  const ChunkId id = ImageMapReader(point.disks[0].image_map, point.disks[0].size_bytes, *source).at(offset)->chunk;
  std::vector<ChunkId> missing;
  const store::FrameLocation frame = opened->locate(std::span(&id, 1), missing).at(0).frame;
  std::fstream file(store / "journal" / (frame.pack.to_string() + ".pack"),
                    std::ios::in | std::ios::out | std::ios::binary);
  const auto place = static_cast<std::streamoff>(frame.offset + frame.length / 2);
  file.seekg(place);
  const int was = file.get();
  file.seekp(place);
  file.put(static_cast<char>(was ^ 0x5a));
  EXPECT_TRUE(file.good());
  return id;
}

void CopyTest::expect_sound(const std::filesystem::path& store, const Uuid& point) {
  const auto opened = open(store);
  const PointCheck check = check_point(*opened, opened->point(point), [](std::uint64_t, std::uint64_t) {});
  EXPECT_THAT(check.damage, testing::IsEmpty());
  EXPECT_GT(check.chunks, 0u);
}

}  // namespace vmferry::target_server
