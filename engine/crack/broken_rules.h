// What a hostile guest would try if it took over the cracker; only the tests of the sandbox ask for it.
#pragma once

#include "engine/crack/channel.h"

namespace vmferry::crack {

void break_rule(BrokenRule rule);

}  // namespace vmferry::crack
