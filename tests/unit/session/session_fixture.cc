#include "tests/unit/session/session_fixture.h"

#include <algorithm>
#include <fstream>

#include "protocol/control.h"
#include "protocol/messages.pb.h"
#include "protocol/wire.h"

namespace vmferry::test {

std::unique_ptr<target::TargetSession> connect_to(std::future<void>& target, std::function<void(Transport&)> then,
                                                  std::uint64_t features) {
  auto [client_end, server_end] = memory_transport();
  target = std::async(std::launch::async, [kept = std::move(server_end), then = std::move(then), features]() mutable {
    const std::unique_ptr<Transport> end = std::move(kept);  // gone when this returns, not when the future is
    wire::PacketReader reader(*end);
    wire::PacketWriter writer(*end);
    reader.next();
    messages::Control control;
    messages::Welcome& welcome = *control.mutable_welcome();
    welcome.set_major(wire::version_major);
    welcome.set_features(features);
    welcome.set_store_uuid(wire::to_field(uuid_of("store").view()));
    welcome.set_domain_uuid(wire::to_field(uuid_of("domain").view()));
    welcome.set_domain_key(std::string(32, 'k'));
    welcome.set_chunk_size_min(16384);
    welcome.set_chunk_size_average(65536);
    welcome.set_chunk_size_max(262144);
    wire::send_control(writer, control);
    then(*end);
  });
  return target::TargetSession::open(std::move(client_end), {uuid_of("host"), "host"});
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
  served_.push_back(std::async(std::launch::async, [this, end = std::move(server_end), access = access_] {
    try {
      target_server::serve_session(*end, *store_, options_, access);
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

void SessionTest::damage(const ChunkId& id) {
  std::vector<ChunkId> missing;
  const auto located = store_->locate(std::span(&id, 1), missing);
  ASSERT_EQ(located.size(), 1u);
  std::filesystem::path pack;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_ / "store"))
    if (entry.path().stem() == located[0].frame.pack.to_string()) pack = entry.path();
  ASSERT_FALSE(pack.empty());
  std::filesystem::permissions(pack, std::filesystem::perms::owner_write, std::filesystem::perm_options::add);
  std::fstream file(pack, std::ios::in | std::ios::out | std::ios::binary);
  const auto at = static_cast<std::streamoff>(located[0].frame.offset + located[0].frame.length / 2);
  file.seekg(at);
  const char byte = static_cast<char>(file.get());
  file.seekp(at);
  file.put(static_cast<char>(byte ^ 0x20));
  ASSERT_TRUE(file.good());
}

}  // namespace vmferry::test
