// A small machine to back up: the chunks of its disk, and the point that names them. And what a call throws.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/error.h"
#include "protocol/point.h"
#include "protocol/session/target_session.h"
#include "tests/support/error_of.h"

namespace vmferry::test {

inline Uuid uuid_of(std::string_view name) { return Uuid::derived(as_bytes(name)); }

// Chunks that a backup would make, and the point that names them.
struct Content {
  std::map<ChunkId, Bytes> chunks;
  RestorePoint point;

  std::vector<ChunkId> ids() const {
    std::vector<ChunkId> all;
    for (const auto& [id, bytes] : chunks) all.push_back(id);
    return all;
  }
};

struct MachineName {
  std::string client = "host", machine = "web1", disk = "disk";
};

// A disk of these chunks, one after another, and some free space.
Content content_of(const target::TargetFacts& facts, const MachineName& name, std::span<const Bytes> chunks);
// A disk of `count` chunks: chunk i is content number seeds(i).
Content make_content(const target::TargetFacts& facts, const MachineName& name, std::size_t count,
                     const std::function<std::uint64_t(std::size_t)>& seeds = [](std::size_t i) { return i; });

// All chunks of `content` whose ids are in `ids`, in frames of several.
std::vector<Bytes> frames_of(const Content& content, const std::vector<ChunkId>& ids,
                             std::size_t chunks_per_frame = 16);

}  // namespace vmferry::test
