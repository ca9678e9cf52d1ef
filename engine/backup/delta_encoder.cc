#include "engine/backup/delta_encoder.h"

#include <algorithm>
#include <unordered_map>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::backup {
namespace {

// A delta that copies less than a 32nd of the content is not tried: zstd sees more in whole chunks. One that copies less than
// half is compared with them.
constexpr std::size_t copied_share_min = 32;
constexpr std::size_t copied_share_sure = 2;

struct Candidate {
  const DeltaRun::Part* part;
  std::int64_t expected_at;  // in the frame's content
};

// Each basis chunk of the frame's runs once, with the place in the content that is nearest to where its run expects it.
std::vector<Candidate> candidates(const FrameWork& work) {
  std::vector<Candidate> found;
  std::unordered_map<ChunkId, std::size_t> seen;
  std::size_t at = 0;
  for (std::size_t first = 0; first < work.chunks.size();) {
    const DeltaRun* run = work.facts[first].run.get();
    std::vector<std::pair<std::uint64_t, std::size_t>> places;  // of the run's chunks: in the stream, in the content
    std::size_t last = first;
    for (; last < work.chunks.size() && work.facts[last].run.get() == run; ++last) {
      places.emplace_back(work.facts[last].position, at);
      at += work.chunks[last].length;
    }
    first = last;
    if (run == nullptr) continue;
    for (const DeltaRun::Part& part : run->basis) {
      if (found.size() == limits::delta_basis_chunks_max) return found;
      if (!seen.emplace(part.id, found.size()).second) continue;
      std::size_t nearest = 0;
      while (nearest + 1 < places.size() && static_cast<std::int64_t>(places[nearest + 1].first) <= part.expected_at)
        ++nearest;
      found.push_back({&part, part.expected_at - static_cast<std::int64_t>(places[nearest].first) +
                                  static_cast<std::int64_t>(places[nearest].second)});
    }
  }
  return found;
}

struct Basis {
  std::vector<delta::DeltaBasis> chunks;
  std::vector<delta::BasisPart> parts;
};

// Leaves out what nothing was copied from.
void prune(Basis& basis, std::vector<delta::Copy>& copies) {
  std::vector<bool> used(basis.chunks.size());
  std::vector<std::uint32_t> begins;
  std::uint32_t at = 0;
  for (const delta::DeltaBasis& chunk : basis.chunks) {
    begins.push_back(at);
    at += chunk.length;
  }
  const auto holding = [&](std::uint32_t from) {
    return static_cast<std::size_t>(std::upper_bound(begins.begin(), begins.end(), from) - begins.begin()) - 1;
  };
  for (const delta::Copy& copy : copies)
    for (std::size_t i = holding(copy.from); i < begins.size() && begins[i] < copy.from + copy.length; ++i) used[i] = true;
  std::vector<std::uint32_t> left_out_before(basis.chunks.size());
  std::uint32_t left_out = 0;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < basis.chunks.size(); ++i) {
    left_out_before[i] = left_out;
    if (used[i])
      basis.chunks[kept++] = basis.chunks[i];
    else
      left_out += basis.chunks[i].length;
  }
  for (delta::Copy& copy : copies) copy.from -= left_out_before[holding(copy.from)];
  basis.chunks.resize(kept);
}

std::vector<std::uint32_t> literals(const FrameWork& work, std::span<const delta::Copy> copies) {
  std::vector<std::uint32_t> bytes;
  std::size_t at = 0, next = 0;
  for (const FrameChunk& chunk : work.chunks) {
    std::uint32_t literal = chunk.length;
    const std::size_t end = at + chunk.length;
    while (next < copies.size()) {
      const std::size_t copy_end = copies[next].at + copies[next].length;
      const std::size_t from = std::max<std::size_t>(at, copies[next].at), to = std::min(end, copy_end);
      if (from < to) literal -= static_cast<std::uint32_t>(to - from);
      if (copy_end > end) break;
      ++next;
    }
    bytes.push_back(literal);
    at = end;
  }
  return bytes;
}

}  // namespace

std::optional<DeltaEncoder::Encoded> DeltaEncoder::encode(const FrameWork& work,
                                                          const std::function<std::size_t()>& whole_bytes) {
  if (work.whole || work.chunks.empty()) return std::nullopt;
  return work.nodes() ? encode_nodes(work) : encode_streams(work, whole_bytes);
}

std::optional<DeltaEncoder::Encoded> DeltaEncoder::encode_streams(const FrameWork& work,
                                                                  const std::function<std::size_t()>& whole_bytes) {
  const std::vector<Candidate> wished = candidates(work);
  if (wished.empty()) return std::nullopt;
  std::vector<ChunkId> ids;
  for (const Candidate& candidate : wished) ids.push_back(candidate.part->id);
  const std::vector<Bytes> signatures = signatures_.find(ids);

  Basis basis;
  std::size_t basis_bytes = 0;
  for (std::size_t i = 0; i < wished.size(); ++i) {
    if (signatures[i].empty()) continue;
    delta::SignatureView signature;
    try {
      signature = delta::parse_signature(signatures[i]);
    } catch (const Error&) {  // a cache's content: as if it were not there
      continue;
    }
    if (signature.basis_bytes() == 0) continue;
    if (basis_bytes + signature.basis_bytes() > limits::delta_basis_max) break;
    basis_bytes += signature.basis_bytes();
    basis.chunks.push_back({ids[i], signature.basis_bytes()});
    basis.parts.push_back({signature, wished[i].expected_at});
  }
  if (basis.parts.empty()) return std::nullopt;

  const std::span<const delta::Copy> matched = matcher_.match(work.content, basis.parts);
  std::vector<delta::Copy> copies(matched.begin(), matched.end());
  std::size_t copied = 0;
  for (const delta::Copy& copy : copies) copied += copy.length;
  if (copied * copied_share_min < work.content.size()) return std::nullopt;
  prune(basis, copies);
  Encoded encoded;
  const bool sure = copied * copied_share_sure >= work.content.size();
  encoded.frame = builder_.copies(work.chunks, work.content, basis.chunks, copies, sure ? work.content.size() : whole_bytes());
  if (encoded.frame.empty()) return std::nullopt;
  encoded.literal_bytes = literals(work, copies);
  return encoded;
}

std::optional<DeltaEncoder::Encoded> DeltaEncoder::encode_nodes(const FrameWork& work) {
  std::vector<delta::DeltaBasis> basis;
  Bytes content;
  std::unordered_map<ChunkId, bool> seen;
  for (const ChunkFacts& facts : work.facts) {
    if (!facts.run) continue;
    for (const DeltaRun::Part& part : facts.run->basis) {
      if (!part.content || content.size() + part.content->size() > limits::delta_basis_max ||
          basis.size() == limits::delta_basis_chunks_max || !seen.emplace(part.id, true).second)
        continue;
      basis.push_back({part.id, static_cast<std::uint32_t>(part.content->size())});
      content.insert(content.end(), part.content->begin(), part.content->end());
    }
  }
  if (basis.empty()) return std::nullopt;
  Encoded encoded;
  encoded.frame = builder_.prefix(work.chunks, work.content, basis, content, work.content.size());
  if (encoded.frame.empty()) return std::nullopt;
  for (const FrameChunk& chunk : work.chunks) encoded.literal_bytes.push_back(chunk.length);
  return encoded;
}

}  // namespace vmferry::backup
