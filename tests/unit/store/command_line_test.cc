#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "store_fixture.h"
#include "target-server/cli/commands.h"

namespace vmferry::target_server {
namespace {

using store::StoreTest;

struct Ran {
  int exit_code = 0;
  std::string out, err;
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

Ran run(std::vector<std::string> arguments) {
  std::vector<const char*> argv{"vmferry-target"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Ran ran;
  ran.exit_code = run_command_line(static_cast<int>(argv.size()), argv.data());
  ran.out = testing::internal::GetCapturedStdout();
  ran.err = testing::internal::GetCapturedStderr();
  return ran;
}

class CommandLine : public StoreTest {};

TEST_F(CommandLine, EveryFailureIsOneJsonObjectWithItsExitCode) {
  const std::string nowhere = scratch_.path() / "nowhere";
  const struct {
    std::vector<std::string> arguments;
    int exit_code;
    std::string code;
  } cases[] = {{{"status", "--json"}, 64, "usage"},
               {{"--json"}, 64, "usage"},
               {{"status", "--store", nowhere, "--json"}, 1, "not_found"},
               {{"init", "--store", directory_, "--json"}, 1, "exists"},
               {{"delete", "web1", "--store", directory_, "--json"}, 64, "usage"},
               {{"delete", "web1@3", "--store", directory_, "--json"}, 1, "not_found"}};
  for (const auto& each : cases) {
    const Ran ran = run(each.arguments);
    EXPECT_EQ(ran.exit_code, each.exit_code) << ran.out;
    EXPECT_EQ(ran.json()["exit_code"], each.exit_code);
    EXPECT_EQ(ran.json()["error"]["code"], each.code);
    EXPECT_FALSE(ran.json()["error"]["message"].get<std::string>().empty());
  }
}

TEST_F(CommandLine, StatusCountsAndDeleteDeletesWhatIsNamed) {
  const RestorePoint point = open()->add_point(store::make_point(Uuid::random(), Uuid::random()));
  EXPECT_EQ(run({"status", "--store", directory_, "--json"}).json()["points"], 1);
  EXPECT_EQ(run({"delete", "web1@1", "--store", directory_, "--dry-run"}).exit_code, 0);
  EXPECT_EQ(open(false)->points().size(), 1u);
  EXPECT_EQ(run({"delete", "web1@1", "--store", directory_, "--json"}).json()["uuid"], point.uuid.to_string());
  EXPECT_EQ(open(false)->points().size(), 0u);
}

TEST_F(CommandLine, ABusyStoreSaysSoWithExitCode3AndADamagedPointIsExitCode4) {
  {
    const auto writer = open();
    EXPECT_EQ(run({"serve", "--store", directory_, "--json"}).json()["error"]["code"], "busy");
    EXPECT_EQ(run({"status", "--store", directory_, "--json"}).json()["writer_pid"], ::getpid());
    writer->add_point(store::make_point(Uuid::random(), Uuid::random()));
  }
  const auto file = store::files_below(directory_ / "points", ".point").at(0);
  store::write_file(file, ByteView(store::read_file(file)).first(20));
  const Ran ran = run({"status", "--store", directory_, "--json"});
  EXPECT_EQ(ran.exit_code, 4);
  EXPECT_EQ(ran.json()["damaged_points"].size(), 1u);
}

TEST_F(CommandLine, StatusCountsLostChunksTillTheyComeAgainWithExitCode4) {
  const Bytes content = store::random_bytes(1, 5000);
  const ChunkId id = chunk_id_of(open()->domain().key, content);
  open()->recheck(std::span(&id, 1), true);
  const Ran lost = run({"status", "--store", directory_, "--json"});
  EXPECT_EQ(lost.exit_code, 4);
  EXPECT_EQ(lost.json()["lost_chunks"], 1);
  EXPECT_THAT(run({"status", "--store", directory_}).out, testing::HasSubstr("1 chunk is lost: the next backup"));
  {
    const auto writer = open();
    FrameBuilder builder(1);
    builder.add(id, content);
    const Bytes frame = builder.finish();
    writer->append(parse_frame(frame));
    writer->sync();
  }
  const Ran whole = run({"status", "--store", directory_, "--json"});
  EXPECT_EQ(whole.exit_code, 0);
  EXPECT_EQ(whole.json()["lost_chunks"], 0);
}

TEST_F(CommandLine, TheExportedKeyIsTheStoresKey) {
  const Ran ran = run({"key", "export", "--store", directory_});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(store::import_domain(ran.out).key, open()->domain().key);
}

}  // namespace
}  // namespace vmferry::target_server
