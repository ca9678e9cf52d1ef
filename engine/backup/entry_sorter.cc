#include "engine/backup/entry_sorter.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace vmferry::backup {
namespace {

bool key_less(ByteView a, ByteView b) {
  const int order = std::memcmp(a.data(), b.data(), std::min(a.size(), b.size()));
  return order != 0 ? order < 0 : a.size() < b.size();
}

}  // namespace

// Reads one run front to back through a buffer of its own.
class EntrySorter::RunReader {
 public:
  RunReader(const TemporaryFile& file, Run run, std::size_t buffer_bytes) : file_(file), rest_(run) {
    buffer_.reserve(buffer_bytes);
    wanted_ = buffer_bytes;
    next();
  }

  bool at_end() const { return at_end_; }
  ByteView key() const { return ByteView(buffer_).subspan(at_ + header_bytes, key_bytes_); }
  ByteView value() const { return ByteView(buffer_).subspan(at_ + header_bytes + key_bytes_, value_bytes_); }

  void next() {
    at_ = after_;
    if (!have(header_bytes)) {
      at_end_ = true;
      return;
    }
    std::uint32_t lengths[2];
    std::memcpy(lengths, buffer_.data() + at_, sizeof lengths);
    key_bytes_ = lengths[0];
    value_bytes_ = lengths[1];
    if (!have(header_bytes + key_bytes_ + value_bytes_))
      throw Error(ErrorCode::failed, "a temporary file of sorted entries ends too early");
    after_ = at_ + header_bytes + key_bytes_ + value_bytes_;
  }

  static constexpr std::size_t header_bytes = 8;

 private:
  bool have(std::size_t bytes) {
    if (buffer_.size() - at_ >= bytes) return true;
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(at_));
    at_ = 0;
    const std::size_t held = buffer_.size();
    const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(std::max(wanted_, bytes) - held, rest_.length));
    buffer_.resize(held + take);
    if (take > 0) file_.read(rest_.offset, buffer_.data() + held, take);
    rest_.offset += take;
    rest_.length -= take;
    return buffer_.size() >= bytes;
  }

  const TemporaryFile& file_;
  Run rest_;
  std::size_t wanted_ = 0;
  Bytes buffer_;
  std::size_t at_ = 0, after_ = 0;
  std::size_t key_bytes_ = 0, value_bytes_ = 0;
  bool at_end_ = false;
};

EntrySorter::EntrySorter(std::filesystem::path directory, std::size_t budget_bytes)
    : directory_(std::move(directory)), budget_bytes_(std::max<std::size_t>(budget_bytes, 64 * 1024)) {}

ByteView EntrySorter::key_of(const Slot& slot) const { return ByteView(arena_).subspan(slot.at, slot.key_bytes); }
ByteView EntrySorter::value_of(const Slot& slot) const {
  return ByteView(arena_).subspan(slot.at + slot.key_bytes, slot.value_bytes);
}

void EntrySorter::add(ByteView key, ByteView value) {
  const std::size_t needed = key.size() + value.size() + sizeof(Slot);
  if (!slots_.empty() && arena_.size() + slots_.size() * sizeof(Slot) + needed > budget_bytes_) spill();
  slots_.push_back({arena_.size(), static_cast<std::uint32_t>(key.size()), static_cast<std::uint32_t>(value.size())});
  arena_.insert(arena_.end(), key.begin(), key.end());
  arena_.insert(arena_.end(), value.begin(), value.end());
  sorted_ = false;
  ++count_;
}

void EntrySorter::sort_slots() {
  if (sorted_) return;
  std::stable_sort(slots_.begin(), slots_.end(),
                   [this](const Slot& a, const Slot& b) { return key_less(key_of(a), key_of(b)); });
  sorted_ = true;
}

void EntrySorter::spill() {
  sort_slots();
  if (!file_) file_.emplace(directory_);
  const std::uint64_t begin = file_->size();
  constexpr std::size_t write_bytes = 1 << 20;
  Bytes out;
  out.reserve(write_bytes + 64 * 1024);
  for (const Slot& slot : slots_) {
    const std::uint32_t lengths[2] = {slot.key_bytes, slot.value_bytes};
    const auto header = std::as_bytes(std::span(lengths));
    out.insert(out.end(), header.begin(), header.end());
    const ByteView body = ByteView(arena_).subspan(slot.at, slot.key_bytes + slot.value_bytes);
    out.insert(out.end(), body.begin(), body.end());
    if (out.size() >= write_bytes) {
      file_->append(out.data(), out.size());
      out.clear();
    }
  }
  file_->append(out.data(), out.size());
  runs_.push_back({begin, file_->size() - begin});
  slots_.clear();
  arena_.clear();
  sorted_ = true;
}

void EntrySorter::visit(const std::function<void(ByteView, ByteView)>& use) {
  sort_slots();
  if (runs_.empty()) {
    for (const Slot& slot : slots_) use(key_of(slot), value_of(slot));
    return;
  }
  if (!slots_.empty()) spill();
  arena_.shrink_to_fit();
  const std::size_t share = std::max<std::size_t>(budget_bytes_ / runs_.size(), 64 * 1024);
  std::vector<std::unique_ptr<RunReader>> readers;
  for (const Run& run : runs_) readers.push_back(std::make_unique<RunReader>(*file_, run, share));
  std::vector<std::size_t> heap;
  for (std::size_t i = 0; i < readers.size(); ++i)
    if (!readers[i]->at_end()) heap.push_back(i);
  const auto later = [&](std::size_t a, std::size_t b) {
    if (key_less(readers[b]->key(), readers[a]->key())) return true;
    if (key_less(readers[a]->key(), readers[b]->key())) return false;
    return a > b;
  };
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    RunReader& reader = *readers[heap.back()];
    use(reader.key(), reader.value());
    reader.next();
    if (reader.at_end())
      heap.pop_back();
    else
      std::push_heap(heap.begin(), heap.end(), later);
  }
}

}  // namespace vmferry::backup
