#include "protocol/chunk_id.h"

#include <algorithm>

#include "protocol/error.h"
#include "protocol/random_bytes.h"

#ifdef VMFERRY_SYSTEM_BLAKE3
#include <blake3.h>
#define VMFERRY_BLAKE3(name) blake3_##name
#else
#include <llvm-c/blake3.h>
#define VMFERRY_BLAKE3(name) llvm_blake3_##name
#endif

namespace vmferry {
namespace {

std::array<std::byte, 32> finish(VMFERRY_BLAKE3(hasher) & hasher, ByteView content) {
  std::array<std::byte, 32> out;
  VMFERRY_BLAKE3(hasher_update)(&hasher, content.data(), content.size());
  VMFERRY_BLAKE3(hasher_finalize)(&hasher, reinterpret_cast<std::uint8_t*>(out.data()), out.size());
  return out;
}

}  // namespace

ChunkId ChunkId::from_bytes(ByteView thirty_two) {
  ChunkId id;
  if (thirty_two.size() != id.bytes.size()) throw Error(ErrorCode::malformed, "a chunk id is not 32 bytes long");
  std::copy(thirty_two.begin(), thirty_two.end(), id.bytes.begin());
  return id;
}

DomainKey DomainKey::random() {
  DomainKey key;
  fill_random(key.bytes);
  return key;
}

ChunkId chunk_id_of(const DomainKey& key, ByteView content) {
  VMFERRY_BLAKE3(hasher) hasher;
  VMFERRY_BLAKE3(hasher_init_keyed)(&hasher, reinterpret_cast<const std::uint8_t*>(key.bytes.data()));
  return ChunkId{finish(hasher, content)};
}

std::array<std::byte, 32> blake3_of(ByteView content) {
  VMFERRY_BLAKE3(hasher) hasher;
  VMFERRY_BLAKE3(hasher_init)(&hasher);
  return finish(hasher, content);
}

}  // namespace vmferry
