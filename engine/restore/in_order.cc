#include "engine/restore/in_order.h"

namespace vmferry::restore {
namespace {

constexpr std::size_t entries_ahead_max = 65536;

}  // namespace

void InOrderRestore::run(MapAhead& map) {
  for (look_ahead(map); !ahead_.empty(); look_ahead(map)) {
    tally_.tick();
    const MapEntry next = ahead_.front();
    ahead_.pop_front();
    write(next);
  }
  output_.flush();
}

// Waits for the map only where there is nothing else to do.
void InOrderRestore::look_ahead(MapAhead& map) {
  while (ahead_.empty() || (ahead_.size() < entries_ahead_max && chunks_.has_room())) {
    const std::optional<MapEntry> entry = ahead_.empty() ? map.next() : map.next_if_there();
    if (!entry) return;
    if (entry->kind != MapKind::data) continue;
    chunks_.ask(entry->chunk, entry->chunk_offset + entry->disk.length);
    ahead_.push_back(*entry);
  }
}

void InOrderRestore::write(const MapEntry& entry) {
  try {
    const SharedBytes content = chunks_.take(entry.chunk);
    if (!range_fits(entry.chunk_offset, entry.disk.length, content->size()))
      throw Error(ErrorCode::damaged, "the image map names more of a chunk than it has", entry.chunk.to_string());
    output_.write(entry.disk.offset,
                  ByteView(*content).subspan(entry.chunk_offset, static_cast<std::size_t>(entry.disk.length)));
    tally_.written(entry.disk.length);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::damaged) throw;
    tally_.damaged(entry.disk, error);
  }
}

}  // namespace vmferry::restore
