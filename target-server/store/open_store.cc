// How a LocalStore is opened: to write, or to read beside a writer, after a crash, or from a read-only disk.
#include <unistd.h>

#include <cstdlib>

#include "protocol/error.h"
#include "target-server/store/about_file.h"
#include "target-server/store/domain_file.h"
#include "target-server/store/local_store.h"

namespace vmferry::store {
namespace {

// A reader that recovers holds the writer's lock for a moment.
constexpr int writer_lock_timeout_ms = 300;

std::filesystem::path index_file(const std::filesystem::path& directory) { return directory / "index.sqlite"; }

std::string busy_message(const Holder& holder) {
  std::string message = "the store is in use by process " + std::to_string(holder.pid);
  if (!holder.command.empty()) message += " (" + holder.command + ")";
  return message +
         (holder.socket.empty() ? "; wait until it is done" : "; use --target unix://" + holder.socket + ", or wait");
}

void remove_index(const std::filesystem::path& directory) {
  for (const char* suffix : {"", "-wal", "-shm"}) remove_durably(index_file(directory).string() + suffix);
}

}  // namespace

LocalStore::LocalStore(const std::filesystem::path& directory, const StoreOptions& options) : options_(options) {
  const AboutStore about = read_about(directory);
  LoadedDomain loaded = load_domain(directory, about.domain);
  place_ = {directory, about.store, loaded.facts};
  objects_ = local_object_store(directory);
  for (const std::filesystem::path& copy : loaded.bad_copies)
    notes_.push_back({"domain_copy", copy, "a copy of the domain's key is missing or damaged; a writer puts it right"});
  if (options_.writable) {
    open_to_write();
    if (!loaded.bad_copies.empty()) write_domain(directory, place_.domain);
  } else {
    open_to_read();
  }
}

LocalStore::~LocalStore() {
  if (options_.writable) {
    try {
      sync();  // not needed for safety: it spares the next open() the scan
    } catch (...) {
    }
  }
  points_.reset();
  index_.reset();
  if (private_directory_) {
    std::error_code ignored;
    std::filesystem::remove_all(*private_directory_, ignored);
  }
}

void LocalStore::open_to_write() {
  const std::filesystem::path lock_file = place_.directory / "lock";
  try {
    writer_lock_ = FileLock::take(lock_file, writer_lock_timeout_ms, "");
  } catch (const Error& error) {
    if (error.code() == ErrorCode::busy) throw Error(ErrorCode::busy, busy_message(read_holder(lock_file)));
    throw;
  }
  writer_lock_->write(encode_holder(this_process(options_.socket)));
  objects_->begin_epoch();
  make_directory(place_.journal());
  open_index(true);
  Recovered recovered = recover(place_, *objects_, *index_, true);
  open_pack_ = std::move(recovered.open_pack);
  notes_.insert(notes_.end(), recovered.notes.begin(), recovered.notes.end());
  points_ = std::make_unique<PointStore>(place_.directory, *objects_,
                                         std::make_unique<SummaryCache>(place_.directory / "points.sqlite"));
}

void LocalStore::open_index(bool may_rebuild) {
  try {
    index_ = std::make_unique<ChunkIndex>(index_file(place_.directory), place_.store, ChunkIndex::Mode::write);
    index_->packs();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::damaged || !may_rebuild) throw;
    index_.reset();
    remove_index(place_.directory);
    notes_.push_back({"index_rebuilt", index_file(place_.directory), "it was unusable, and is rebuilt from the packs"});
    open_index(false);
  }
}

void LocalStore::open_to_read() {
  const bool disk_is_writable = ::access(place_.directory.c_str(), W_OK) == 0;
  points_ = std::make_unique<PointStore>(
      place_.directory, *objects_,
      disk_is_writable ? std::make_unique<SummaryCache>(place_.directory / "points.sqlite") : nullptr);
  for (const ChunkIndex::Mode mode : {ChunkIndex::Mode::read, ChunkIndex::Mode::immutable}) {
    const std::optional<FileFacts> log = facts_of(index_file(place_.directory).string() + "-wal");
    if (mode == ChunkIndex::Mode::immutable && (disk_is_writable || (log && log->size != 0))) continue;
    try {
      index_ = std::make_unique<ChunkIndex>(index_file(place_.directory), place_.store, mode);
      // Somebody writes: then the index is up to date, or will be in a moment.
      if (disk_is_writable && is_locked(place_.directory / "lock")) return;
      if (index_matches(place_, *objects_, *index_)) return;
    } catch (const Error&) {
      index_.reset();
    }
    if (disk_is_writable) break;
  }
  // Nobody writes, and it does not match: a crash, or another day's index.
  index_.reset();
  if (disk_is_writable && try_to_recover_for_reading()) return;
  open_private_index();
}

bool LocalStore::try_to_recover_for_reading() {
  try {
    {
      StoreOptions writing = options_;
      writing.writable = true;
      const LocalStore recovered(place_.directory, writing);
      notes_.insert(notes_.end(), recovered.notes_.begin(), recovered.notes_.end());
    }
    index_ = std::make_unique<ChunkIndex>(index_file(place_.directory), place_.store, ChunkIndex::Mode::read);
    return true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::version) throw;
    index_.reset();
    return false;
  }
}

void LocalStore::open_private_index() {
  std::string path = (std::filesystem::temp_directory_path() / "vmferry-index-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) throw system_error(errno, "cannot make a temporary directory", path);
  private_directory_ = path;
  try {
    index_ = std::make_unique<ChunkIndex>(index_file(path), place_.store, ChunkIndex::Mode::write);
    const Recovered recovered = recover(place_, *objects_, *index_, false);
    notes_.insert(notes_.end(), recovered.notes.begin(), recovered.notes.end());
  } catch (...) {
    index_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
    throw;
  }
}

}  // namespace vmferry::store
