// --compression and its setting, the former name of it too.
#include "engine/cli/settings.h"

#include <gtest/gtest.h>

#include <fstream>

#include "protocol/error.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::cli {
namespace {

backup::CompressionChoice choice_of(const std::string& config, const std::string& option = {}) {
  const test::TemporaryDirectory directory;
  Settings settings;
  settings.config = directory / "config.toml";
  settings.compression_text = option;
  std::ofstream(settings.config) << config;
  complete_settings(settings);
  return settings.compression;
}

TEST(SettingsTest, CompressionIsAutomaticUnlessALevelIsGiven) {
  EXPECT_TRUE(choice_of("").automatic);
  EXPECT_TRUE(choice_of("compression = \"auto\"").automatic);
  EXPECT_FALSE(choice_of("compression = 7").automatic);
  EXPECT_EQ(choice_of("compression = 7").level, 7);
  EXPECT_EQ(choice_of("compression = \"19\"").level, 19);
  EXPECT_EQ(choice_of("compression_level = 5").level, 5);  // as older configurations have it
  EXPECT_FALSE(choice_of("compression_level = 5").automatic);
  EXPECT_EQ(choice_of("compression = 7", "12").level, 12);
  EXPECT_TRUE(choice_of("compression = 7", "auto").automatic);
}

TEST(SettingsTest, AnImpossibleCompressionIsRefused) {
  for (const char* text : {"0", "20", "-1", "3x", "fast", "99999999999999999999", " 3"})
    EXPECT_THROW(choice_of("", text), Error) << text;
  for (const char* config :
       {"compression = 0", "compression_level = 20", "compression = 3.5", "compression = true", "compresion = 3"})
    EXPECT_THROW(choice_of(config), Error) << config;
}

}  // namespace
}  // namespace vmferry::cli
