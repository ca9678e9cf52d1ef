#include <gtest/gtest.h>

#include "point_maker.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "tests/support/content.h"
#include "tests/support/ntfs_image.h"

namespace vmferry::restore {
namespace {

using limits::MiB;

class VerifyByPulling : public testing::Test {
 protected:
  VerifyByPulling() {
    spec_.image = directory_ / "volume.raw";
    test::NtfsImage::format(spec_.image, 16 * MiB);
    test::NtfsImage image(spec_.image);
    image.write_file("/a", test::random_bytes(1, 2 * MiB));
    at_ = image.ranges("/a").at(0).offset + MiB;
    spec_.volumes = {{.range = {0, 16 * MiB}}};
  }
  target::VerifyResult verify(const RestorePoint& point) {
    RestoreOptions options;
    options.spool_directory = directory_.path();
    return verify_by_pulling(point, options, target_.session(), no_events, not_cancelled);
  }

  test::TemporaryDirectory directory_;
  TestTarget target_;
  DiskSpec spec_;
  std::uint64_t at_ = 0;
};

TEST_F(VerifyByPulling, APointThatIsWholeHasNoDamage) {
  RestorePoint point = target_.make_point({spec_});
  point.files.push_back(target_.make_file("web1.nvram", std::string(2500, 'n')));
  const target::VerifyResult result = verify(target_.add(std::move(point)));
  EXPECT_TRUE(result.damage.empty()) << result.damage[0];
  EXPECT_GT(result.chunks, 40u);
  EXPECT_GT(result.bytes, 2 * MiB);
}

TEST_F(VerifyByPulling, AMissingChunkIsNamedWithItsPlace) {
  spec_.missing_chunks_at = {at_};
  const target::VerifyResult result = verify(target_.add(target_.make_point({spec_})));
  ASSERT_EQ(result.damage.size(), 1u);
  EXPECT_NE(result.damage[0].find("disk0 at byte " + std::to_string(at_ / 50'000 * 50'000)), std::string::npos)
      << result.damage[0];
}

TEST_F(VerifyByPulling, AMissingRootIsDamageAndNotTheEnd) {
  RestorePoint point = target_.make_point({spec_});
  point.disks[0].volumes[0].file_index.node.bytes[0] ^= std::byte{1};
  const target::VerifyResult result = verify(target_.add(std::move(point)));
  ASSERT_EQ(result.damage.size(), 1u);
  EXPECT_NE(result.damage[0].find("file index of 0.1"), std::string::npos) << result.damage[0];
  EXPECT_GT(result.bytes, 2 * MiB);
}

TEST_F(VerifyByPulling, AMapThatDoesNotCoverTheDiskIsDamage) {
  RestorePoint point = target_.make_point({spec_});
  point.disks[0].size_bytes += MiB;
  EXPECT_FALSE(verify(target_.add(std::move(point))).damage.empty());
}

TEST_F(VerifyByPulling, AFileWithAnotherLengthIsDamage) {
  RestorePoint point = target_.make_point({spec_});
  point.files.push_back(target_.make_file("web1.nvram", std::string(2500, 'n')));
  point = target_.add(std::move(point));
  point.files[0].chunk_lengths[0] += 1;
  EXPECT_FALSE(verify(point).damage.empty());
}

}  // namespace
}  // namespace vmferry::restore
