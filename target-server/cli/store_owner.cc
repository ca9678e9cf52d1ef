#include "target-server/cli/store_owner.h"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "protocol/error.h"

namespace vmferry::target_server {

void become_owner_of(const std::filesystem::path& store) {
  struct stat owned{};
  if (::geteuid() != 0 || ::stat(store.c_str(), &owned) != 0 || owned.st_uid == 0) return;
  if (::setgroups(1, &owned.st_gid) != 0 || ::setgid(owned.st_gid) != 0 || ::setuid(owned.st_uid) != 0)
    throw system_error(errno, "cannot become the user who owns the store", store.string());
}

}  // namespace vmferry::target_server
