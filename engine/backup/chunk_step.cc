#include "engine/backup/chunk_step.h"

#include <cstring>
#include <stdexcept>

namespace vmferry::backup {

void ChunkStep::feed(const SlabPointer& slab, std::size_t offset, std::size_t length, bool ends) {
  ByteView bytes(slab->body() + offset, length);
  if (!carried_.empty()) {
    if (offset != 0 || carried_.size() > slab->headroom) throw std::logic_error("a stream does not go on where it stopped");
    std::byte* const joined = slab->body() - carried_.size();
    std::memcpy(joined, carried_.data(), carried_.size());
    bytes = ByteView(joined, carried_.size() + length);
    carried_ = {};
    carried_slab_.reset();
  }
  while (const auto cut = cutter_.next(bytes, ends)) {
    on_cut_(*cut, slab, bytes.first(cut->length));
    bytes = bytes.subspan(cut->length);
  }
  if (!bytes.empty()) {
    carried_ = bytes;
    carried_slab_ = slab;
  }
}

}  // namespace vmferry::backup
