#include "engine/catalog/client_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "protocol/error.h"

namespace vmferry::catalog {
namespace {

std::optional<Uuid> read_uuid(const std::filesystem::path& file) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    if (errno == ENOENT) return std::nullopt;
    throw system_error(errno, "cannot read this client's identity", file.string());
  }
  std::array<char, 64> text{};
  const ssize_t length = read(descriptor, text.data(), text.size());
  close(descriptor);
  std::string_view line(text.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  const std::optional<Uuid> uuid = Uuid::parse(line);
  if (!uuid || uuid->is_none())
    throw Error(ErrorCode::damaged, "this client's identity cannot be read", file.string(),
                "write back its line (the client UUID that `vmferry points --json` shows), or remove the file: this "
                "host is then a new client of its targets");
  return uuid;
}

void write_and_sync(int descriptor, std::string_view text, const std::string& name) {
  const ssize_t written = write(descriptor, text.data(), text.size());
  const bool whole = written == static_cast<ssize_t>(text.size()) && fsync(descriptor) == 0;
  const int error_number = errno;
  close(descriptor);
  if (!whole) {
    unlink(name.c_str());
    throw system_error(error_number, "cannot write this client's identity", name);
  }
}

}  // namespace

Uuid client_uuid_in(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / "client.uuid";
  if (const auto uuid = read_uuid(file)) return *uuid;
  std::string temporary = (directory / ".client.uuid.XXXXXX").string();
  const int descriptor = mkostemp(temporary.data(), O_CLOEXEC);  // mode 0600
  if (descriptor < 0) throw system_error(errno, "cannot write this client's identity", file.string());
  const Uuid made = Uuid::random();
  write_and_sync(descriptor, made.to_string() + "\n", temporary);
  // link, not rename: whoever came first wins.
  const bool linked = link(temporary.c_str(), file.c_str()) == 0;
  const int error_number = errno;
  unlink(temporary.c_str());
  if (!linked && error_number != EEXIST) throw system_error(error_number, "cannot write this client's identity", file.string());
  if (const int folder = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); folder >= 0) {
    fsync(folder);
    close(folder);
  }
  const auto uuid = read_uuid(file);
  if (!uuid) throw Error(ErrorCode::failed, "this client's identity went away while it was written", file.string());
  return *uuid;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

}  // namespace vmferry::catalog
