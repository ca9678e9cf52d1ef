#include "target-server/store/point_store.h"

#include <algorithm>
#include <charconv>

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/now.h"

namespace vmferry::store {
namespace {

constexpr int lock_timeout_ms = 30'000;
constexpr std::uint64_t replica_number_max = 1ULL << 48;  // so that there is always a next one
constexpr std::string_view point_suffix = ".point";

std::string folder_of(const Uuid& client, const Uuid& machine) {
  return "points/" + client.to_string() + "/" + machine.to_string();
}

std::string file_name_of(std::uint64_t number, const Uuid& uuid) {
  std::string digits = std::to_string(number);
  if (digits.size() < 8) digits.insert(0, 8 - digits.size(), '0');
  return digits + "-" + uuid.to_string() + std::string(point_suffix);
}

struct NameParts {
  std::string folder;
  std::uint64_t number = 0;
  Uuid uuid;
};
std::optional<NameParts> parts_of(std::string_view name) {
  const std::size_t slash = name.rfind('/');
  if (slash == std::string_view::npos || !name.ends_with(point_suffix)) return std::nullopt;
  NameParts parts{std::string(name.substr(0, slash)), 0, {}};
  const std::string_view file = name.substr(slash + 1, name.size() - slash - 1 - point_suffix.size());
  const auto [end, error] = std::from_chars(file.data(), file.data() + file.size(), parts.number);
  if (error != std::errc{} || end == file.data() + file.size() || *end != '-') return std::nullopt;
  const std::optional<Uuid> uuid = Uuid::parse(file.substr(static_cast<std::size_t>(end - file.data()) + 1));
  if (!uuid) return std::nullopt;
  parts.uuid = *uuid;
  return parts;
}

bool same(const ObjectFacts& a, const ObjectFacts& b) { return a.size == b.size && a.modified_ns == b.modified_ns; }

}  // namespace

PointStore::PointStore(std::filesystem::path store, ObjectStore& objects, std::unique_ptr<SummaryCache> cache)
    : store_(std::move(store)), objects_(objects), cache_(std::move(cache)) {
  if (!cache_) return;
  for (auto& [name, entry] : cache_->load()) known_[name] = {entry.facts, std::move(entry.summary), {}};
}

FileLock PointStore::lock_points() const {
  return FileLock::take(store_ / "points.lock", lock_timeout_ms,
                        "the store's points are being changed by another process; try again");
}

void PointStore::refresh() {
  std::map<std::string, ObjectFacts> there;
  objects_.list("points", [&](const std::string& name, const ObjectFacts& facts) { there.emplace(name, facts); });

  std::vector<std::string> gone;
  std::erase_if(known_, [&](const auto& entry) {
    if (there.contains(entry.first)) return false;
    gone.push_back(entry.first);
    return true;
  });
  std::vector<std::pair<std::string, SummaryCache::Entry>> fresh;
  for (const auto& [name, facts] : there) {
    const auto found = known_.find(name);
    if (found != known_.end() && same(found->second.facts, facts)) continue;
    try {
      const PointSummary summary = summarize(read(name).point);
      known_[name] = {facts, summary, {}};
      fresh.push_back({name, {facts, summary}});
    } catch (const Error& error) {
      if (error.code() == ErrorCode::not_found) continue;  // removed while we looked
      known_[name] = {facts, std::nullopt, error.what()};
    }
  }
  if (cache_) {
    cache_->remove(gone);
    cache_->put(fresh);
  }
}

PointStore::Listing PointStore::list() {
  const std::lock_guard guard(mutex_);
  refresh();
  Listing listing;
  for (const auto& [name, known] : known_) {  // the names' order is client, machine, number
    if (known.summary) {
      listing.points.push_back(*known.summary);
    } else {
      const std::optional<NameParts> parts = parts_of(name);
      listing.damaged.push_back({name, parts ? parts->uuid : Uuid{}, parts ? parts->number : 0, known.damage});
    }
  }
  return listing;
}

std::string PointStore::name_of(const Uuid& uuid) {
  const std::lock_guard guard(mutex_);
  const auto holds = [&](const auto& entry) {
    const std::optional<NameParts> parts = parts_of(entry.first);
    return parts && parts->uuid == uuid;
  };
  // What was listed may have been removed since, and what was added since is not yet listed.
  auto found = std::find_if(known_.begin(), known_.end(), holds);
  if (found == known_.end() || !objects_.facts(found->first)) {
    refresh();
    found = std::find_if(known_.begin(), known_.end(), holds);
  }
  return found == known_.end() ? std::string() : found->first;
}

bool PointStore::has(const Uuid& uuid) { return !name_of(uuid).empty(); }

PointStore::Stored PointStore::read(const std::string& name) {
  const std::optional<ObjectFacts> facts = objects_.facts(name);
  if (!facts) throw Error(ErrorCode::not_found, "no such restore point in the store", name);
  constexpr std::uint64_t bytes_max = limits::point_bytes_max + 4096;
  if (facts->size > bytes_max)
    throw Error(ErrorCode::damaged, "a restore point is damaged", name, "its file is too long");
  // Not through the object store's cache of open files: a file put back in the place of another must be seen.
  Bytes bytes = read_whole(store_ / name, bytes_max);
  RestorePoint point;
  try {
    point = decode_point(bytes);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::version) throw;
    throw Error(ErrorCode::damaged, "a restore point is damaged", name, error.what());
  }
  if (name != folder_of(point.client_uuid, point.machine_uuid) + "/" + file_name_of(point.number, point.uuid))
    throw Error(ErrorCode::damaged, "a restore point is damaged", name, "its file has another point's name");
  return {std::move(bytes), std::move(point)};
}

PointStore::Stored PointStore::find(const Uuid& uuid) {
  const std::string name = name_of(uuid);
  if (name.empty()) throw Error(ErrorCode::not_found, "no such restore point in the store", uuid.to_string());
  return read(name);
}

RestorePoint PointStore::get(const Uuid& uuid) { return find(uuid).point; }
Bytes PointStore::get_encoded(const Uuid& uuid) { return find(uuid).encoded; }

std::uint64_t PointStore::next_number(const Uuid& client, const Uuid& machine) {
  std::uint64_t next = 1;
  for (const std::string& name : names_in(store_ / folder_of(client, machine)))
    if (const std::optional<NameParts> parts = parts_of("/" + name)) next = std::max(next, parts->number + 1);

  const std::filesystem::path file = store_ / "machines" / client.to_string() / machine.to_string();
  if (facts_of(file)) {
    const Bytes text = read_whole(file, 4096);
    const std::string_view line = as_text(text);
    std::uint64_t stored = 0;
    if (line.starts_with("next ")) std::from_chars(line.data() + 5, line.data() + line.size(), stored);
    next = std::max(next, stored);
  }
  return next;
}

void PointStore::set_next_number(const Uuid& client, const Uuid& machine, std::uint64_t next) {
  const std::filesystem::path file = store_ / "machines" / client.to_string() / machine.to_string();
  make_directory(file.parent_path());
  write_durably(file, as_bytes("next " + std::to_string(next) + "\n"), Existing::replace);
}

void PointStore::put(const RestorePoint& point, ByteView encoded) {
  const std::string name =
      folder_of(point.client_uuid, point.machine_uuid) + "/" + file_name_of(point.number, point.uuid);
  if (!objects_.put_if_absent(name, encoded))
    throw Error(ErrorCode::exists, "the restore point is there already", name);

  const std::optional<ObjectFacts> facts = objects_.facts(name);
  const std::lock_guard guard(mutex_);
  known_[name] = {facts.value_or(ObjectFacts{}), summarize(point), {}};
  const std::pair<std::string, SummaryCache::Entry> entry{name, {known_[name].facts, *known_[name].summary}};
  if (cache_) cache_->put(std::span(&entry, 1));
}

RestorePoint PointStore::add(RestorePoint point) {
  if (point.client_uuid.is_none() || point.machine_uuid.is_none())
    throw Error(ErrorCode::malformed, "a restore point names no client or no machine");
  if (point.uuid.is_none()) point.uuid = Uuid::random();
  const FileLock lock = lock_points();
  if (has(point.uuid)) throw Error(ErrorCode::exists, "the restore point is there already", point.uuid.to_string());
  point.number = next_number(point.client_uuid, point.machine_uuid);
  set_next_number(point.client_uuid, point.machine_uuid, point.number + 1);
  point.arrived_ms = now_ms();
  put(point, encode_point(point));
  return point;
}

bool PointStore::add_replica(ByteView encoded) {
  const RestorePoint point = decode_point(encoded);
  const std::string named = point.machine_name + "@" + std::to_string(point.number);
  if (point.client_uuid.is_none() || point.machine_uuid.is_none() || point.uuid.is_none() || point.number == 0 ||
      point.number > replica_number_max)
    throw Error(ErrorCode::malformed, "a restore point names no client, no machine, no id or no number", named);
  const FileLock lock = lock_points();
  if (const std::string name = name_of(point.uuid); !name.empty()) {
    if (std::ranges::equal(read(name).encoded, encoded)) return false;
    throw Error(ErrorCode::refused, "another restore point has this one's id", named, name);
  }
  for (const std::string& name : names_in(store_ / folder_of(point.client_uuid, point.machine_uuid)))
    if (const std::optional<NameParts> parts = parts_of("/" + name); parts && parts->number == point.number)
      throw Error(ErrorCode::refused, "another restore point of this machine has this one's number", named,
                  parts->uuid.to_string() + " is not " + point.uuid.to_string() +
                      ": the machine was backed up to both stores; each keeps its own");
  const std::uint64_t next = next_number(point.client_uuid, point.machine_uuid);
  if (point.number >= next) set_next_number(point.client_uuid, point.machine_uuid, point.number + 1);
  put(point, encoded);
  return true;
}

void PointStore::remove(const Uuid& uuid) {
  const std::string name = name_of(uuid);
  if (name.empty()) throw Error(ErrorCode::not_found, "no such restore point in the store", uuid.to_string());
  const std::optional<NameParts> parts = parts_of(name);
  // The number must stay given, also where the machine's file is lost and this is its newest point.
  const std::filesystem::path numbers =
      store_ / "machines" / std::filesystem::path(parts->folder).lexically_relative("points");
  if (!facts_of(numbers)) {
    make_directory(numbers.parent_path());
    write_durably(numbers, as_bytes("next " + std::to_string(parts->number + 1) + "\n"), Existing::keep);
  }
  objects_.remove(name);
}

}  // namespace vmferry::store
