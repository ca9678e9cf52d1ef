// copy_points: brings restore points from one store to another over two sessions, of which one is with a store at hand.
// Points that are there already cost nothing but their names in two lists; of a new one only what its base does not
// reach is looked at. What cannot be copied is told and left out, and the others are copied: a damaged point, one of a
// machine that another session holds. An interruption loses only the point under way, and nothing of what arrived.
#pragma once

#include <exception>
#include <functional>
#include <vector>

#include "protocol/error.h"
#include "protocol/session/target_session.h"
#include "target-server/replicate/chunk_ferry.h"
#include "target-server/replicate/copy_plan.h"

namespace vmferry::target_server {

struct CopiedPoint {
  PointSummary point;
  FerryCounts counts;
};

class CopyEvents {
 public:
  virtual ~CopyEvents() = default;
  virtual void begins(const PointSummary&) {}
  virtual void tick() {}  // now and then
  virtual void copied(const CopiedPoint&) {}
  virtual void failed(const PointSummary&, const Error&) {}
};

struct CopySessions {
  target::TargetSession& from;
  target::TargetSession& to;
  target::TargetSession& near;  // that of the two which is at hand
};

// Throws Error{refused} where the stores cannot have points in common: of different domains, or one store.
void check_same_domain(const target::TargetSession& from, const target::TargetSession& to);

// both: points that both stores have. Throws what ends all of it: a session that broke, a store that is full.
void copy_points(const CopySessions& sessions, const std::vector<PointSummary>& missing,
                 std::vector<PointSummary> both, const FerryOptions& options, CopyEvents& events);

}  // namespace vmferry::target_server
