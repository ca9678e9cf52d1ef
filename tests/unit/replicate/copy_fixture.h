// Two stores of one domain, and what a controller backs up to the first of them.
#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <optional>

#include "protocol/session/target_session.h"
#include "target-server/replicate/copy_points.h"
#include "target-server/serve/embedded_target.h"
#include "target-server/store/store.h"
#include "tests/support/content.h"
#include "tests/support/made_point.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::target_server {

struct Copied : CopyEvents {
  void copied(const CopiedPoint& point) override { points.push_back(point); }
  void failed(const PointSummary& point, const Error& error) override { failures.emplace_back(name_of(point), error); }

  std::vector<CopiedPoint> points;
  std::vector<std::pair<std::string, Error>> failures;
};

class CopyTest : public testing::Test {
 protected:
  CopyTest();

  std::filesystem::path near() const { return directory_ / "near"; }
  std::filesystem::path far() const { return directory_ / "far"; }
  static std::unique_ptr<store::Store> open(const std::filesystem::path& store);
  // A session in this process.
  static std::unique_ptr<target::TargetSession> connect(const std::filesystem::path& store, const std::string& client,
                                                        target::ClientRole role);

  // A point of a disk of `count` chunks, chunk i being content number seeds(i).
  RestorePoint back_up(const std::filesystem::path& store, const test::MachineName& name, std::size_t count,
                       const std::function<std::uint64_t(std::size_t)>& seeds, std::size_t chunks_per_frame = 16);
  // A point of a disk of these chunks.
  RestorePoint back_up(const std::filesystem::path& store, const test::MachineName& name,
                       std::span<const Bytes> chunks);
  enum class At { source, destination };
  // All that the far store lacks, by who is at the one or the other.
  Copied copy(At at = At::source, const FerryOptions& options = {});
  std::map<std::string, Bytes> point_files(const std::filesystem::path& store) const;
  // Changes a byte of the stored frame that holds the point's chunk at this place of its disk.
  static ChunkId damage(const std::filesystem::path& store, const RestorePoint& point, std::uint64_t offset);
  void expect_sound(const std::filesystem::path& store, const Uuid& point);

  static RestorePoint commit(target::TargetSession& session, const test::Content& content,
                             std::size_t chunks_per_frame);

  test::TemporaryDirectory directory_;
  std::uint64_t far_bytes_ = 0;  // of the last copy: over the line to the other store, both ways
};

}  // namespace vmferry::target_server
