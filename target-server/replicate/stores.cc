#include "target-server/replicate/stores.h"

#include <unistd.h>

#include <array>
#include <string_view>

#include "protocol/error.h"
#include "protocol/point.h"
#include "target-server/serve/embedded_target.h"
#include "target-server/store/about_file.h"
#include "target-server/store/file_lock.h"

namespace vmferry::target_server {
namespace {

constexpr std::string_view file_scheme = "file://";
constexpr std::string_view unix_scheme = "unix://";

std::filesystem::path path_of(const std::string& url, std::string_view scheme) {
  const std::string path = url.substr(scheme.size());
  if (path.empty() || path.front() != '/')
    throw Error(ErrorCode::usage, "the other store's path must be absolute", url,
                "write it with three slashes: " + std::string(scheme) + "/DIR");
  return path;
}

// Of who writes to the store just now, if he serves it.
std::string socket_of_writer(const std::filesystem::path& directory) {
  return store::is_locked(directory / "lock") ? store::read_holder(directory / "lock").socket : std::string();
}

// There is one writer: where that is a server, through its socket.
std::unique_ptr<target::TargetSession> open_store(const std::filesystem::path& directory, Access access,
                                                  const target::ClientFacts& facts,
                                                  std::vector<store::DamagedPoint>& damaged_points) {
  if (access == Access::write)
    if (const std::string socket = socket_of_writer(directory); !socket.empty())
      return target::TargetSession::open(connect_unix(socket), facts);
  store::StoreOptions options;
  options.writable = access == Access::write;
  auto opened = store::Store::open(directory, options);
  damaged_points = opened->damaged_points();
  return target::TargetSession::open(embedded_target(std::move(opened)), facts);
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || !valid_machine_name(name.data())) return "store";
  return name.data();
}

NearStore open_near_store(const std::filesystem::path& directory, Access access) {
  NearStore near;
  near.facts = {store::read_about(directory).store, host_name(), target::ClientRole::replica};
  near.session = open_store(directory, access, near.facts, near.damaged_points);
  return near;
}

std::unique_ptr<target::TargetSession> connect_far_store(const std::string& url, const target::ClientFacts& facts,
                                                         Access access, const target::DialOptions& line) {
  if (url.starts_with(file_scheme)) {
    std::vector<store::DamagedPoint> not_told;
    return open_store(path_of(url, file_scheme), access, facts, not_told);
  }
  if (url.starts_with(unix_scheme)) return target::TargetSession::open(connect_unix(path_of(url, unix_scheme)), facts);
  return target::TargetSession::open(target::dial(url, line), facts, line.link.note);
}

}  // namespace vmferry::target_server
