#include "engine/catalog/traffic_table.h"

#include <array>
#include <utility>

namespace vmferry::catalog {
namespace {

const std::string point_columns = "store, machine, point, machine_name, number, taken_ms, totals";

Bytes encode_totals(const TrafficPoint& point) {
  ByteWriter out;
  for (const TrafficBytes& bytes : {point.streams, point.trees})
    for (const std::uint64_t value : {bytes.read, bytes.reused, bytes.delta, bytes.whole, bytes.sent, bytes.delta_sent})
      out.varint(value);
  for (const std::uint64_t value : {point.unchanged_streams, point.unchanged_bytes, point.sent_bytes})
    out.varint(value);
  return std::move(out).take();
}

void decode_totals(ByteView totals, TrafficPoint& point) {
  ByteReader in(totals, "the totals of a backup in the catalog");
  for (TrafficBytes* bytes : {&point.streams, &point.trees})
    for (std::uint64_t* value :
         {&bytes->read, &bytes->reused, &bytes->delta, &bytes->whole, &bytes->sent, &bytes->delta_sent})
      *value = in.varint();
  for (std::uint64_t* value : {&point.unchanged_streams, &point.unchanged_bytes, &point.sent_bytes})
    *value = in.varint();
  in.expect_end();
}

TrafficPoint point_in(const sqlite::Statement& select) {
  TrafficPoint point;
  point.store = Uuid::from_bytes(select.blob(0));
  point.machine = Uuid::from_bytes(select.blob(1));
  point.point = Uuid::from_bytes(select.blob(2));
  point.machine_name = as_text(select.blob(3));
  point.number = static_cast<std::uint64_t>(select.number(4));
  point.taken_ms = select.number(5);
  decode_totals(select.blob(6), point);
  return point;
}

}  // namespace

void TrafficTable::add(const PointTraffic& traffic) {
  const TrafficPoint& point = traffic.point;
  std::vector<TrafficRow> rows = traffic.rows;
  keep_largest_rows(rows, traffic_rows_max);
  const PackedRows packed = pack_rows(std::move(rows));
  const Bytes totals = encode_totals(point);
  const std::string sql =
      "INSERT OR REPLACE INTO traffic (" + point_columns + ", row_bytes, rows) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
  sqlite::Statement insert(database_, sql.c_str());
  insert.bind(1, point.store.view()).bind(2, point.machine.view()).bind(3, point.point.view());
  insert.bind_text(4, point.machine_name).bind(5, static_cast<std::int64_t>(point.number)).bind(6, point.taken_ms);
  insert.bind(7, totals).bind(8, static_cast<std::int64_t>(packed.bytes)).bind(9, packed.packed).run();

  sqlite::Statement trim(
      database_,
      "DELETE FROM traffic WHERE store = ?1 AND machine = ?2 AND number <= (SELECT number FROM traffic "
      "WHERE store = ?1 AND machine = ?2 ORDER BY number DESC LIMIT 1 OFFSET ?3)");
  trim.bind(1, point.store.view()).bind(2, point.machine.view());
  trim.bind(3, static_cast<std::int64_t>(traffic_points_max)).run();
}

std::vector<TrafficPoint> TrafficTable::points(const std::string& machine_name) {
  const std::string sql = "SELECT " + point_columns +
                          " FROM traffic WHERE ?1 = '' OR machine_name = ?1 ORDER BY taken_ms DESC, number DESC";
  sqlite::Statement select(database_, sql.c_str());
  select.bind_text(1, machine_name);
  std::vector<TrafficPoint> points;
  while (select.step()) points.push_back(point_in(select));
  return points;
}

std::optional<PointTraffic> TrafficTable::find(const Uuid& point) {
  const std::string sql = "SELECT " + point_columns + ", row_bytes, rows FROM traffic WHERE point = ?";
  sqlite::Statement select(database_, sql.c_str());
  select.bind(1, point.view());
  if (!select.step()) return std::nullopt;
  PointTraffic traffic;
  traffic.point = point_in(select);
  traffic.rows = unpack_rows(select.blob(8), static_cast<std::uint64_t>(select.number(7)));
  return traffic;
}

}  // namespace vmferry::catalog
