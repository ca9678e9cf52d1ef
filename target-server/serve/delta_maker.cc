#include "target-server/serve/delta_maker.h"

#include <algorithm>
#include <unordered_set>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "target-server/serve/frame_repacker.h"

namespace vmferry::target_server {
namespace {

constexpr int compression_level = 3;
// Read at once: as much content as makes a few frames where chunks are of the usual size.
constexpr std::size_t chunks_at_once = 32;
constexpr std::size_t held_bytes_max = 32u << 20;  // of them and their bases

}  // namespace

DeltaMaker::DeltaMaker(store::Store& store)
    : source_(store.chunk_source()), builder_(compression_level) {}

// Those that can be read, and fit. What is missing or damaged costs only itself.
DeltaMaker::Contents DeltaMaker::read(const std::vector<ChunkId>& ids) {
  Contents contents;
  std::size_t bytes = 0;
  const auto keep = [&](const ChunkId& id, ByteView content) {
    if (content.size() > held_bytes_max - bytes) return;
    if (contents.try_emplace(id, content.begin(), content.end()).second) bytes += content.size();
  };
  try {
    source_->get(ids, keep);
  } catch (const Error&) {  // find which
    for (const ChunkId& id : ids) {
      if (contents.contains(id)) continue;
      try {
        source_->get(std::span(&id, 1), keep);
      } catch (const Error&) {
      }
    }
  }
  return contents;
}

std::vector<ChunkId> DeltaMaker::make(std::span<const wire::ChunkWithBasis> chunks,
                                      const std::function<bool(ByteView)>& use) {
  std::vector<ChunkId> whole;
  std::vector<wire::ChunkWithBasis> ready;  // of the next delta
  Contents contents;
  std::size_t bytes = 0;
  bool go_on = true;
  const auto flush = [&] {
    if (!ready.empty() && go_on) {
      const Bytes delta = delta_of(ready, contents);
      if (!delta.empty())
        go_on = use(delta);
      else
        for (const wire::ChunkWithBasis& chunk : ready) whole.push_back(chunk.id);
    }
    ready.clear();
    bytes = 0;
  };
  for (std::size_t first = 0; first < chunks.size() && go_on; first += chunks_at_once) {
    const auto some = chunks.subspan(first, std::min(chunks_at_once, chunks.size() - first));
    std::vector<ChunkId> ids;
    for (const wire::ChunkWithBasis& chunk : some) {
      if (chunk.basis.empty()) continue;
      ids.push_back(chunk.id);
      ids.insert(ids.end(), chunk.basis.begin(), chunk.basis.end());
    }
    contents = read(ids);
    for (const wire::ChunkWithBasis& chunk : some) {
      const auto content = contents.find(chunk.id);
      const bool has_basis = std::ranges::any_of(chunk.basis, [&](const ChunkId& id) { return contents.contains(id); });
      if (content == contents.end() || content->second.empty() || !has_basis) {
        whole.push_back(chunk.id);
        continue;
      }
      if (bytes + content->second.size() > frame_content_bytes) flush();
      ready.push_back(chunk);
      bytes += content->second.size();
    }
    flush();
  }
  return whole;
}

// Empty where it is no smaller than the content.
Bytes DeltaMaker::delta_of(std::span<const wire::ChunkWithBasis> chunks, const Contents& contents) {
  std::vector<FrameChunk> directory;
  std::vector<delta::DeltaBasis> basis;
  std::unordered_set<ChunkId> named;
  Bytes content, basis_content;
  for (const wire::ChunkWithBasis& chunk : chunks) {
    const Bytes& bytes = contents.at(chunk.id);
    directory.push_back({chunk.id, static_cast<std::uint32_t>(bytes.size())});
    content.insert(content.end(), bytes.begin(), bytes.end());
    for (const ChunkId& id : chunk.basis) {
      const auto found = contents.find(id);
      if (found == contents.end() || found->second.empty() ||
          basis_content.size() + found->second.size() > limits::delta_basis_max || !named.insert(id).second)
        continue;
      basis.push_back({id, static_cast<std::uint32_t>(found->second.size())});
      basis_content.insert(basis_content.end(), found->second.begin(), found->second.end());
    }
  }
  return builder_.prefix(directory, content, basis, basis_content, content.size());
}

}  // namespace vmferry::target_server
