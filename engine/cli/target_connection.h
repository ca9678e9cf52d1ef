// TargetConnection: a session with the target that a URL names. file:///DIR runs the target's half in this process, over
// a memory transport; unix:///SOCKET connects to `vmferry-target serve`.
#pragma once

#include <memory>
#include <string>

#include "protocol/session/target_session.h"

namespace vmferry::cli {

class TargetConnection {
 public:
  virtual ~TargetConnection() = default;
  virtual target::TargetSession& session() noexcept = 0;
};

enum class Access { read, write };

// Throws Error{usage} for no target or an unknown kind of URL; what opening a store or a socket throws.
std::unique_ptr<TargetConnection> connect_target(const std::string& url, const target::ClientFacts& client,
                                                 Access access);

// Whether a line lies between this host and the target, so that it pays to compress harder than a disk would ask for.
bool has_line(const std::string& url);

}  // namespace vmferry::cli
