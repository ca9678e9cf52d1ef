// What must hold of what a volume says: throws Error{malformed} with the short reason ("an attribute is too long") where it
// does not. Whoever asked for the record says of which one.
#pragma once

#include "protocol/error.h"

namespace vmferry::crack {

inline void require(bool holds, const char* why) {
  if (!holds) throw Error(ErrorCode::malformed, why);
}

}  // namespace vmferry::crack
