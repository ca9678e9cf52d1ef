// CompressionChoice: what a user may say of compression: a zstd level, or that the level follows the link.
#pragma once

namespace vmferry::backup {

struct CompressionChoice {
  static constexpr int level_min = 1, level_max = 19;

  bool automatic = false;  // `level` is then only where it begins
  int level = 3;
};

}  // namespace vmferry::backup
