// Control: what a person or a program says to a running link, one JSON object a line, and its answer, one more.
//
//   {"direction": "a_to_b", "rate_bits_per_s": 1e7, "delay_us": 40000, "jitter_us": 0, "loss": 0.01,
//    "queue_bytes": 100000, "stall_us": 3000000}
//
// Everything may be left out: no direction means both, and what is not named stays as it is ("queue_bytes": null is one
// round trip's worth again). The answer is always the counters since the start, or {"error": "..."}.
#pragma once

#include <string>

#include "bench/link/emulated_link.h"

namespace vmferry::bench {

std::string obey(const std::string& command, EmulatedLink& link, Time now);
std::string counters_of(EmulatedLink& link, Time now);

}  // namespace vmferry::bench
