// FileLock: an flock on a file of the store, held until its owner is gone, however that ends. Works between threads
// of one process, too (each lock has an open file of its own).
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "target-server/store/local_files.h"

namespace vmferry::store {

class FileLock {
 public:
  // nullopt where somebody else holds it. Creates the file.
  static std::optional<FileLock> try_take(const std::filesystem::path& file);
  // Waits up to timeout_ms; Error{busy}.
  static FileLock take(const std::filesystem::path& file, int timeout_ms, const std::string& busy_message);

  // Replaces the file's content: who holds it, for the message that others get.
  void write(std::string_view content);

 private:
  explicit FileLock(Descriptor file, std::filesystem::path path) : file_(std::move(file)), path_(std::move(path)) {}
  Descriptor file_;
  std::filesystem::path path_;
};

// True where somebody holds the lock. Needs no write permission; shares the lock for the instant in which it is free, so
// whoever takes it tries more than once.
bool is_locked(const std::filesystem::path& file);

// The writer's lock of a store: DIR/lock.
struct Holder {
  std::int64_t pid = 0;
  std::string command;
  std::string socket;  // empty: it does not serve
};
std::string encode_holder(const Holder& holder);
// What the file says, as far as it says it.
Holder read_holder(const std::filesystem::path& file);
Holder this_process(const std::string& socket);

}  // namespace vmferry::store
