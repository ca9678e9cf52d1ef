#include <gtest/gtest.h>

#include "engine/crack/cracker.h"

int main(int argc, char** argv) {
  vmferry::crack::maybe_run_sandbox_child(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
