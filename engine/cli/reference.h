// What a command line names: NAME[@POINT][:[VOLUME]/PATH].
#pragma once

#include <optional>
#include <string>

#include "engine/restore/restore.h"
#include "protocol/session/target_session.h"
#include "protocol/point.h"

namespace vmferry::cli {

struct Reference {
  PointName point;
  std::optional<restore::PathInPoint> path;  // present where a colon follows the point
};

// at: the value of --at, or empty; with it a point in the text is Error{usage}.
Reference parse_reference(const std::string& text, const std::string& at);

// The point that the reference names, as the target has it. Throws Error{not_found} with what to do.
RestorePoint resolve_point(const PointName& name, target::TargetSession& session, const Uuid& own_client);

}  // namespace vmferry::cli
