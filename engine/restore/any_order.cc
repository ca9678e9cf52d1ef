#include "engine/restore/any_order.h"

#include <utility>

namespace vmferry::restore {
namespace {

constexpr std::size_t places_max = 65536;  // that wait for their chunks

}  // namespace

AnyOrderRestore::AnyOrderRestore(ChunkPipeline& chunks, DiskOutput& output, RestoreTally& tally,
                                 const DiskRestoreOptions& options)
    : chunks_(chunks),
      output_(output),
      tally_(tally),
      unproven_(options.spool_directory, options.memory_bytes / 16),
      wrong_(options.spool_directory, options.memory_bytes / 16) {}

// Twice through: the second time for what was there, and could not be told from its place alone. By then a chunk of which
// one part was there and another was missing has come, and proves both.
void AnyOrderRestore::run(MapAhead& map) {
  run_through([&](bool may_wait) { return may_wait ? map.next() : map.next_if_there(); },
              &AnyOrderRestore::keep_or_want);
  unproven_.settle(
      output_,
      [&](const MapEntry& right) {
        tally_.kept(right.disk.length);
        tally_.tick();
      },
      [&](const MapEntry& wrong) {
        wrong_.add(wrong);
        tally_.tick();
      });
  wrong_.rewind();
  run_through([&](bool) { return wrong_.next(); }, &AnyOrderRestore::want);
}

void AnyOrderRestore::run_through(const Next& next, Place place) {
  try {
    while (true) {
      tally_.tick();
      if (places_count_ < places_max && chunks_.has_room()) {
        // Waits for the map only where nothing is on its way: then it is better to ask for much at once.
        const bool may_wait = !chunks_.is_waiting();
        if (const std::optional<MapEntry> entry = next(may_wait)) {
          (this->*place)(*entry);
          if (const auto arrival = chunks_.take_arrived()) write(*arrival);
          continue;
        }
        if (may_wait && places_.empty()) return;
      }
      write(chunks_.take_any());
    }
  } catch (...) {
    write_what_arrived();
    throw;
  }
}

void AnyOrderRestore::keep_or_want(const MapEntry& entry) {
  if (entry.kind != MapKind::data) return output_.zeros(entry.disk);
  switch (output_.look(entry)) {
    case DiskOutput::There::nothing: return want(entry);
    case DiskOutput::There::something: return unproven_.add(entry);
    case DiskOutput::There::the_chunk: return tally_.kept(entry.disk.length);
  }
}

void AnyOrderRestore::want(const MapEntry& entry) {
  if (const SharedBytes content = chunks_.find(entry.chunk)) return write(entry, content);
  std::vector<MapEntry>& places = places_[entry.chunk];
  places.push_back(entry);
  ++places_count_;
  if (places.size() == 1) chunks_.ask(entry.chunk, entry.chunk_offset + entry.disk.length);
}

void AnyOrderRestore::write(const ChunkPipeline::Arrival& arrival) {
  const auto found = places_.find(arrival.id);
  const std::vector<MapEntry> places = std::move(found->second);
  places_.erase(found);
  places_count_ -= places.size();
  for (const MapEntry& entry : places) {
    if (arrival.damage)
      lose(entry, *arrival.damage);
    else
      write(entry, arrival.content);
  }
}

void AnyOrderRestore::write(const MapEntry& entry, const SharedBytes& content) {
  if (!range_fits(entry.chunk_offset, entry.disk.length, content->size()))
    return lose(entry, Error(ErrorCode::damaged, "the image map names more of a chunk than it has",
                             entry.chunk.to_string()));
  const ByteView part = ByteView(*content).subspan(entry.chunk_offset, static_cast<std::size_t>(entry.disk.length));
  output_.write(entry.disk.offset, part, part.size() < content->size());
  tally_.written(part.size());
}

void AnyOrderRestore::lose(const MapEntry& entry, const Error& why) {
  tally_.damaged(entry.disk, why);
  output_.zeros(entry.disk);  // not what something else left there
}

// The restore ends here. What came is not to come again.
void AnyOrderRestore::write_what_arrived() noexcept {
  chunks_.stop();
  try {
    while (const auto arrival = chunks_.take_arrived()) write(*arrival);
  } catch (...) {  // why the restore ends is known already
  }
}

}  // namespace vmferry::restore
