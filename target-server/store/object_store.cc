#include "target-server/store/object_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <charconv>
#include <list>
#include <mutex>
#include <unordered_map>

#include "protocol/error.h"
#include "target-server/store/local_files.h"

namespace vmferry::store {
namespace {

constexpr std::size_t open_files_max = 64;

class LocalObjectStore final : public ObjectStore {
 public:
  explicit LocalObjectStore(std::filesystem::path root) : root_(std::move(root)) {}

  std::uint64_t begin_epoch() override {
    const std::uint64_t next = stored_epoch() + 1;
    write_durably(root_ / "epoch", as_bytes(std::to_string(next) + "\n"), Existing::replace);
    epoch_ = next;
    return next;
  }

  bool put_if_absent(const std::string& name, ByteView content) override {
    check_epoch();
    make_directory((root_ / name).parent_path());
    return write_durably(root_ / name, content, Existing::keep);
  }

  bool put_file_if_absent(const std::string& name, const std::filesystem::path& file) override {
    check_epoch();
    make_directory((root_ / name).parent_path());
    return move_durably(file, root_ / name);
  }

  std::size_t get(const std::string& name, std::uint64_t offset, std::span<std::byte> into) override {
    return read_at(*open_cached(name), offset, into, root_ / name);
  }

  std::optional<ObjectFacts> facts(const std::string& name) override {
    const std::optional<FileFacts> found = facts_of(root_ / name);
    if (!found) return std::nullopt;
    return ObjectFacts{found->size, found->modified_ns};
  }

  void list(const std::string& folder, const Visit& visit) override {
    for (const std::string& name : names_in(root_ / folder)) {
      const std::string path = folder + "/" + name;
      struct stat status {};
      if (::lstat((root_ / path).c_str(), &status) != 0) continue;  // deleted since
      if (S_ISDIR(status.st_mode))
        list(path, visit);
      else if (S_ISREG(status.st_mode))
        visit(path, {static_cast<std::uint64_t>(status.st_size),
                     static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec});
    }
  }

  bool remove(const std::string& name) override {
    {
      const std::lock_guard guard(mutex_);
      if (const auto found = open_.find(name); found != open_.end()) {
        recent_.erase(found->second.place);
        open_.erase(found);
      }
    }
    return remove_durably(root_ / name);
  }

 private:
  struct OpenFile {
    std::shared_ptr<Descriptor> file;
    std::list<std::string>::iterator place;
  };

  std::uint64_t stored_epoch() const {
    if (!facts_of(root_ / "epoch")) return 0;
    const Bytes text = read_whole(root_ / "epoch", 64);
    std::uint64_t value = 0;
    std::from_chars(as_text(text).data(), as_text(text).data() + text.size(), value);
    return value;
  }

  void check_epoch() const {
    if (epoch_ != 0 && stored_epoch() != epoch_)
      throw Error(ErrorCode::refused, "cannot write to the store", root_,
                  "another process has taken it over since; restart this one");
  }

  // Sealed objects never change, so an open descriptor stays right, even while its name is deleted.
  std::shared_ptr<Descriptor> open_cached(const std::string& name) {
    const std::lock_guard guard(mutex_);
    if (const auto found = open_.find(name); found != open_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second.place);
      return found->second.file;
    }
    auto file = std::make_shared<Descriptor>(open_file(root_ / name, O_RDONLY));
    recent_.push_front(name);
    open_[name] = {file, recent_.begin()};
    if (open_.size() > open_files_max) {
      open_.erase(recent_.back());
      recent_.pop_back();
    }
    return file;
  }

  const std::filesystem::path root_;
  std::uint64_t epoch_ = 0;
  std::mutex mutex_;
  std::list<std::string> recent_;
  std::unordered_map<std::string, OpenFile> open_;
};

}  // namespace

std::unique_ptr<ObjectStore> local_object_store(const std::filesystem::path& root) {
  return std::make_unique<LocalObjectStore>(root);
}

}  // namespace vmferry::store
