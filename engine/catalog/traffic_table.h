// TrafficTable: the catalog's table of PointTraffic. One thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/catalog/traffic.h"
#include "protocol/sqlite.h"

namespace vmferry::catalog {

class TrafficTable {
 public:
  explicit TrafficTable(sqlite::Database& database) : database_(database) {}

  // Inside a transaction. Drops the machine's oldest points past traffic_points_max.
  void add(const PointTraffic& traffic);
  std::vector<TrafficPoint> points(const std::string& machine_name);
  std::optional<PointTraffic> find(const Uuid& point);

 private:
  sqlite::Database& database_;
};

}  // namespace vmferry::catalog
