// What root does by hand to a store that another user's server writes (the packages' service has a user of its own) is
// done as that user: a file that root made there could not be read by the server.
#pragma once

#include <filesystem>

namespace vmferry::target_server {

// For the rest of the process, which has one thread yet; where we are not root, or root owns the store or none is
// there, nothing. Throws Error by errno.
void become_owner_of(const std::filesystem::path& store);

}  // namespace vmferry::target_server
