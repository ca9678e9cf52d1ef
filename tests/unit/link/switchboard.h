// Switchboard: dials a target for a test that cuts lines, counts them, and decides who answers.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "protocol/link/link.h"
#include "tests/support/cutting_transport.h"
#include "tests/support/link_pair.h"

namespace vmferry::test {

class Switchboard {
 public:
  link::Dial dial();
  // Who answers from now on; may throw instead.
  void answer(link::Dial answer);
  void cut_all() noexcept;      // both ends notice
  unsigned dials() const;       // so far
  unsigned wait_for_dials(unsigned at_least) const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable dialed_;
  link::Dial answer_;
  unsigned dials_ = 0;
  std::vector<std::shared_ptr<Transport>> lines_;
};

}  // namespace vmferry::test
