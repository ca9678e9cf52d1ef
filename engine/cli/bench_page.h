// bench_page: what `vmferry bench` found as one HTML page: plots as inline SVG beside the tables that have their
// numbers. Nothing is loaded from elsewhere and nothing runs; light and dark follow the reader's setting. It is
// well-formed XML.
#pragma once

#include <string>

#include "engine/cli/bench_report.h"

namespace vmferry::cli {

std::string bench_page(const BenchResult& result);

}  // namespace vmferry::cli
