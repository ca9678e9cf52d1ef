// Generators of sparse extents, written from the formats' descriptions and apart from the reader's code: what a link
// holds is told grain by grain.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/bytes.h"

namespace vmferry::disk::test {

enum class GrainState { absent, zeroed, data };

// A link's content: of its bytes only those of `data` grains count.
struct Layer {
  Bytes content;
  std::uint64_t grain_bytes = 64 * 1024;
  std::vector<GrainState> states;
};

// Every grain that is not all zeros is data.
Layer layer_of(ByteView content, std::uint64_t grain_bytes);
// Random states; content is random where it counts.
Layer random_layer(std::uint64_t size, std::uint64_t grain_bytes, std::uint32_t seed);
// What a reader sees of `layer` above `below`.
Bytes overlaid(const Layer& layer, ByteView below);

struct SparseOptions {
  std::string descriptor;
  std::uint32_t version = 1;
  std::uint32_t table_entries = 512;
  bool shuffled = false;  // grains lie in the file in no order
};
Bytes hosted_sparse(const Layer& layer, const SparseOptions& options = {});
Bytes stream_optimized(const Layer& layer, const std::string& descriptor);
Bytes cowd(const Layer& layer, bool root = false);
Bytes se_sparse(const Layer& layer);  // grains of 4 KiB

}  // namespace vmferry::disk::test
