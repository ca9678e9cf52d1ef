// What a session throws at what no client sends.
#pragma once

#include <string>
#include <utility>

#include "protocol/error.h"

namespace vmferry::target_server {

[[noreturn]] inline void malformed(std::string why) {
  throw Error(ErrorCode::malformed, "the client broke the protocol", {}, std::move(why));
}

}  // namespace vmferry::target_server
