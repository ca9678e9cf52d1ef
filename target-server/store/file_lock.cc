#include "target-server/store/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <thread>

#include "protocol/error.h"

namespace vmferry::store {
namespace {

constexpr std::size_t holder_bytes_max = 4096;
constexpr std::size_t command_bytes_max = 200;

bool flock_now(const Descriptor& file, int kind, const std::filesystem::path& path) {
  while (::flock(file.number(), kind | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) throw system_error(errno, "cannot lock a file of the store", path);
  }
  return true;
}

}  // namespace

std::optional<FileLock> FileLock::try_take(const std::filesystem::path& file) {
  Descriptor opened = open_file(file, O_RDWR | O_CREAT);
  if (!flock_now(opened, LOCK_EX, file)) return std::nullopt;
  return FileLock(std::move(opened), file);
}

FileLock FileLock::take(const std::filesystem::path& file, int timeout_ms, const std::string& busy_message) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    if (std::optional<FileLock> lock = try_take(file)) return std::move(*lock);
    if (std::chrono::steady_clock::now() >= deadline) throw Error(ErrorCode::busy, busy_message);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void FileLock::write(std::string_view content) {
  const ByteView bytes = as_bytes(content);
  truncate_file(file_, 0, path_);
  write_at(file_, 0, std::span(&bytes, 1), path_);
}

bool is_locked(const std::filesystem::path& file) {
  const std::optional<Descriptor> opened = open_if_there(file, O_RDONLY);
  if (!opened || flock_now(*opened, LOCK_SH, file)) return false;
  return true;
}

std::string encode_holder(const Holder& holder) {
  return "pid " + std::to_string(holder.pid) + "\ncommand " + holder.command + "\nsocket " + holder.socket + "\n";
}

Holder read_holder(const std::filesystem::path& file) {
  Holder holder;
  std::string text;
  try {
    text = as_text(read_whole(file, holder_bytes_max));
  } catch (const Error&) {
    return holder;
  }
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (line.starts_with("pid ")) std::from_chars(line.data() + 4, line.data() + line.size(), holder.pid);
    if (line.starts_with("command ")) holder.command = line.substr(8);
    if (line.starts_with("socket ")) holder.socket = line.substr(7);
    at = end + 1;
  }
  return holder;
}

Holder this_process(const std::string& socket) {
  Holder holder{::getpid(), {}, socket};
  const Descriptor file = open_file("/proc/self/cmdline", O_RDONLY);
  Bytes buffer(command_bytes_max);
  buffer.resize(read_at(file, 0, buffer, "/proc/self/cmdline"));
  for (const char c : as_text(buffer)) holder.command += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  while (holder.command.ends_with(' ')) holder.command.pop_back();
  return holder;
}

}  // namespace vmferry::store
