// MeasuringTarget: a target that keeps no content. It answers a real session, in a thread of its own over a memory
// transport: so what a backup to it sends and receives is counted where a real one's bytes are, packet for packet. It
// takes what a frame's directory names for stored and every delta whose basis it knows for rebuilt.
#pragma once

#include <exception>
#include <memory>
#include <thread>

#include "engine/measure/measured_store.h"
#include "protocol/session/target_session.h"

namespace vmferry::measure {

class MeasuringTarget {
 public:
  // The store belongs to the target's thread until it is destroyed. The session lives as long as this.
  MeasuringTarget(MeasuredStore& store, const target::ClientFacts& client);
  ~MeasuringTarget();
  MeasuringTarget(const MeasuringTarget&) = delete;
  MeasuringTarget& operator=(const MeasuringTarget&) = delete;

  target::TargetSession& session() noexcept { return *session_; }

 private:
  std::unique_ptr<Transport> targets_end_;
  std::thread thread_;
  std::unique_ptr<target::TargetSession> session_;
};

}  // namespace vmferry::measure
