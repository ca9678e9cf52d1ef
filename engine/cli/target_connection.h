// TargetConnection: a session with the target that a URL names. file:///DIR runs the target's half in this process, over
// a memory transport; unix:///SOCKET connects to `vmferry-target serve`; tls:// and ssh:// are links (protocol/session/dial.h).
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "engine/cli/settings.h"
#include "protocol/session/target_session.h"

namespace vmferry::cli {

class TargetConnection {
 public:
  virtual ~TargetConnection() = default;
  virtual target::TargetSession& session() noexcept = 0;
};

enum class Access { read, write };

// Throws Error{usage} for no target or an unknown kind of URL; what opening a store or a socket throws. patience: how long to
// try to reach a target beyond a line. A session for reading goes on when such a target's process was restarted. early: as
// TargetSession::open() has it.
std::unique_ptr<TargetConnection> connect_target(const Settings& settings, const target::ClientFacts& client,
                                                 Access access, std::chrono::milliseconds patience = {},
                                                 const std::optional<target::BackupOpening>& early = {});

}  // namespace vmferry::cli
