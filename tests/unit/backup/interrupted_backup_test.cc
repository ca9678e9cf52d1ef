// A backup whose line breaks at a hundred seeded places of what the target receives: what had come whole counts, whatever
// the moment, and the restore point is the disk's in the end.
#include <set>

#include "engine/backup/backup_job.h"
#include "protocol/limits.h"
#include "target-server/receive/serve_session.h"
#include "tests/support/content.h"
#include "tests/unit/backup/sent_ids.h"

namespace vmferry::backup {
namespace {

using limits::KiB;
constexpr std::size_t frame_bytes = 512 * KiB + 64 * KiB;  // at most, with its head
constexpr std::size_t chunk_bytes_max = 256 * KiB;
// Of a session beside its frames: the handshake, the opening, offers of all chunks, the point; and the trees.
constexpr std::size_t overhead_bytes = 40'000;
constexpr unsigned cuts_min = 100;

// A session whose line breaks after so many bytes have come to the target.
class BreakingSession {
 public:
  BreakingSession(store::Store& store, const target::ClientFacts& client, std::uint64_t received_bytes) {
    auto [ours, theirs] = memory_transport();
    server_end_ = std::make_unique<test::BreakingTransport>(std::move(theirs),
                                                            test::BreakAfter{.received_bytes = received_bytes});
    server_ = std::thread([this, &store] {
      try {
        target_server::serve_session(*server_end_, store);
      } catch (const Error&) {
      }
      server_end_->abort();
    });
    try {
      session_ = target::TargetSession::open(std::move(ours), client);
    } catch (...) {
      server_.join();
      throw;
    }
  }
  ~BreakingSession() { end(); }
  target::TargetSession& session() { return *session_; }
  std::uint64_t end() {
    session_.reset();
    if (server_.joinable()) server_.join();
    return server_end_->counts().received_bytes;
  }

 private:
  std::unique_ptr<Transport> server_end_;
  std::thread server_;
  std::unique_ptr<target::TargetSession> session_;
};

class InterruptedBackup : public BackupTest {
 protected:
  InterruptedBackup() : catalog_(catalog::Catalog::open(catalog_file())) {
    options_.name = "web1";
    options_.spool_directory = directory_.path();
  }

  std::set<ChunkId> there_of(const std::vector<ChunkId>& ids) {
    const std::vector<bool> there = store_->contains(ids);
    std::set<ChunkId> result;
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (there[i]) result.insert(ids[i]);
    return result;
  }

  struct Came {
    std::uint64_t bytes = 0;
    unsigned cuts = 0;
  };
  // The disk as it is now, over as many sessions as it takes, each of which breaks before received_max.
  Came back_up(test::Random& random, std::size_t received_max) {
    const Source source = Source::open(disk(), {});
    BackupJob job(source, options_, *catalog_, events_, cancel_);
    Came came;
    std::vector<ChunkId> sent;
    while (true) {
      const std::set<ChunkId> there = there_of(sent);
      std::optional<RestorePoint> point;
      const std::uint64_t breaks_after =
          random.below(4) == 0 ? random.size_between(200, received_max) : random.below(received_max);
      try {
        BreakingSession breaking(*store_, {catalog_->client().uuid, "host1"}, breaks_after);
        SentIds session(breaking.session());
        try {
          point = job.run(session);
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::unreachable) << error.what();
        }
        came.bytes += breaking.end();
        for (const ChunkId& id : session.ids_) EXPECT_FALSE(there.contains(id));
        sent.insert(sent.end(), session.ids_.begin(), session.ids_.end());
      } catch (const Error& error) {  // in the handshake
        EXPECT_EQ(error.code(), ErrorCode::unreachable) << error.what();
      }
      if (point) {
        judge(*point);  // throws where it is not the disk
        return came;
      }
      if (++came.cuts == 400) throw std::runtime_error("the backup does not come to its end");
    }
  }

  BackupEvents events_;
  BackupOptions options_;
  std::unique_ptr<catalog::Catalog> catalog_;
};

TEST_F(InterruptedBackup, AtAHundredPlacesNothingThatArrivedIsSentAgain) {
  test::Random random(5);
  write_at(disk(), 0, test::random_bytes(1, 2048 * KiB));
  write_at(disk(), 2048 * KiB, test::text_bytes(2, 1024 * KiB));
  std::filesystem::resize_file(disk(), 4096 * KiB);
  unsigned cuts = 0, backups = 0;
  std::uint64_t all = 0;
  for (std::size_t changed_bytes = 3072 * KiB; cuts < cuts_min; changed_bytes = 1024 * KiB) {
    // Some sessions have room for a whole frame, however the content falls into frames: else the backup gets nowhere.
    const Came came = back_up(random, changed_bytes / 2 + frame_bytes + overhead_bytes);
    EXPECT_LE(came.bytes, changed_bytes + 2 * chunk_bytes_max + frame_bytes * came.cuts + overhead_bytes * (came.cuts + 1))
        << "backup " << backups << ", cuts " << came.cuts;
    cuts += came.cuts;
    all += came.bytes;
    ++backups;
    write_at(disk(), random.below(3072 * KiB), test::random_bytes(100 + backups, 1024 * KiB));
  }
  RecordProperty("cuts", static_cast<int>(cuts));
  RecordProperty("backups", static_cast<int>(backups));
  RecordProperty("received_bytes", std::to_string(all));
}

}  // namespace
}  // namespace vmferry::backup
