// Points of one store and domain, without content.
#pragma once

#include <string>

#include "protocol/point.h"

namespace vmferry::test {

inline const Uuid store_uuid = Uuid::derived(as_bytes("store"));
inline const Uuid domain_uuid = Uuid::derived(as_bytes("domain"));

inline RestorePoint some_point(std::uint64_t number, const std::string& name = "web1") {
  RestorePoint point;
  point.uuid = Uuid::random();
  point.number = number;
  point.machine_uuid = Uuid::derived(as_bytes(name));
  point.machine_name = name;
  point.client_uuid = Uuid::derived(as_bytes("client"));
  point.client_name = "host1";
  point.domain_uuid = domain_uuid;
  point.taken_ms = static_cast<std::int64_t>(number) * 86'400'000;
  point.report.sent_bytes = number * 1000;
  return point;
}

}  // namespace vmferry::test
