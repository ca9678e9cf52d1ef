// What a client throws at what no target sends.
#pragma once

#include <string>
#include <utility>

#include "protocol/error.h"

namespace vmferry::target {

[[noreturn]] inline void malformed(std::string why) {
  throw Error(ErrorCode::malformed, "the target broke the protocol", {}, std::move(why));
}

}  // namespace vmferry::target
