// The two ends of a copy: the store at hand, and the other one that a URL names. A store in a directory that is
// served is written through its server's socket: it has one writer.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "protocol/session/dial.h"
#include "protocol/session/target_session.h"
#include "target-server/store/store.h"

namespace vmferry::target_server {

enum class Access { read, write };

std::string host_name();  // this host's; "store" where that is no name to show

struct NearStore {
  target::ClientFacts facts;                        // as who it copies
  std::vector<store::DamagedPoint> damaged_points;  // that it cannot read
  std::unique_ptr<target::TargetSession> session;
};

// Throws what opening a store throws.
NearStore open_near_store(const std::filesystem::path& directory, Access access);

// file:///DIR, unix:///SOCKET, and beyond a line what target::dial() knows. Error{usage} for another kind of URL.
std::unique_ptr<target::TargetSession> connect_far_store(const std::string& url, const target::ClientFacts& facts,
                                                         Access access, const target::DialOptions& line);

}  // namespace vmferry::target_server
