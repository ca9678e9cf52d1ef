#include "engine/catalog/catalog.h"

#include "engine/catalog/client_file.h"
#include "engine/catalog/machine_lock.h"
#include "engine/catalog/node_cache.h"
#include "engine/catalog/schema.h"
#include "engine/catalog/traffic_table.h"
#include "protocol/sqlite.h"
#include "protocol/error.h"

namespace vmferry::catalog {
namespace {

class SqliteCommit final : public Catalog::Commit {
 public:
  SqliteCommit(sqlite::Database& database, NodeCache& nodes, const Uuid& domain)
      : database_(database), nodes_(nodes), transaction_(database), domain_(domain) {
    domain_number_ = nodes_.domain_number_or_new(domain);
  }

  void node(const ChunkId& id, ByteView bytes) override { added_bytes_ += nodes_.add(domain_number_, id, bytes); }

  void made_up_uuid(const std::string& kind, const std::string& name, const Uuid& uuid) override {
    sqlite::Statement insert(database_, "INSERT OR REPLACE INTO made_up (kind, name, uuid) VALUES (?, ?, ?)");
    insert.bind_text(1, kind).bind_text(2, name).bind(3, uuid.view()).run();
  }

  void traffic(const PointTraffic& traffic) override { TrafficTable(database_).add(traffic); }

  void finish(const Uuid& store, const RestorePoint& point) override {
    const Bytes body = encode_point(point);
    sqlite::Statement insert(database_,
                     "INSERT OR REPLACE INTO last_points (store, machine, domain, point, body) VALUES (?, ?, ?, ?, ?)");
    insert.bind(1, store.view()).bind(2, point.machine_uuid.view()).bind(3, domain_.view());
    insert.bind(4, point.uuid.view()).bind(5, body).run();
    nodes_.count_added(added_bytes_);
    transaction_.commit();
  }

 private:
  sqlite::Database& database_;
  NodeCache& nodes_;
  sqlite::Transaction transaction_;
  const Uuid domain_;
  std::int64_t domain_number_ = 0;
  std::uint64_t added_bytes_ = 0;
};

class SqliteCatalog final : public Catalog {
 public:
  explicit SqliteCatalog(const std::filesystem::path& file)
      : directory_(file.has_parent_path() ? file.parent_path() : "."), database_(open_database(file)) {
    bring_schema_up_to_date(database_);
    nodes_.emplace(database_);
  }

  ClientIdentity client() override {
    if (!client_) client_ = ClientIdentity{client_uuid_in(directory_), host_name()};
    return *client_;
  }

  std::unique_ptr<MachineLock> lock_machine(const Uuid& machine) override {
    return take_machine_lock(directory_ / "locks", machine);
  }

  std::optional<Uuid> made_up_uuid(const std::string& kind, const std::string& name) override {
    sqlite::Statement select(database_, "SELECT uuid FROM made_up WHERE kind = ? AND name = ?");
    select.bind_text(1, kind).bind_text(2, name);
    if (!select.step()) return std::nullopt;
    return Uuid::from_bytes(select.blob(0));
  }

  std::optional<RestorePoint> last_point(const Uuid& store, const Uuid& machine) override {
    sqlite::Statement select(database_, "SELECT body FROM last_points WHERE store = ? AND machine = ?");
    select.bind(1, store.view()).bind(2, machine.view());
    if (!select.step()) return std::nullopt;
    return decode_point(select.blob(0));
  }

  std::vector<Uuid> last_points_anywhere(const Uuid& machine, std::size_t most) override {
    sqlite::Statement select(database_, "SELECT point FROM last_points WHERE machine = ? ORDER BY rowid DESC LIMIT ?");
    select.bind(1, machine.view()).bind(2, static_cast<std::int64_t>(most));
    std::vector<Uuid> points;
    while (select.step()) points.push_back(Uuid::from_bytes(select.blob(0)));
    return points;
  }

  std::vector<RestorePoint> last_points_of_others(const Uuid& store, const Uuid& machine, std::size_t most) override {
    // A row that is replaced becomes the newest.
    sqlite::Statement select(database_,
                             "SELECT body FROM last_points WHERE store = ? AND machine != ? ORDER BY rowid DESC LIMIT ?");
    select.bind(1, store.view()).bind(2, machine.view()).bind(3, static_cast<std::int64_t>(most));
    std::vector<RestorePoint> points;
    while (select.step()) points.push_back(decode_point(select.blob(0)));
    return points;
  }

  std::optional<Bytes> node(const Uuid& domain, const ChunkId& id) override { return nodes_->find(domain, id); }
  std::unique_ptr<Commit> begin_commit(const Uuid& domain) override {
    return std::make_unique<SqliteCommit>(database_, *nodes_, domain);
  }
  std::vector<TrafficPoint> traffic_points(const std::string& machine_name) override {
    return TrafficTable(database_).points(machine_name);
  }
  std::optional<PointTraffic> traffic(const Uuid& point) override { return TrafficTable(database_).find(point); }
  void trim_nodes() override { nodes_->trim(); }
  void visit_last_chunks(const std::function<void(const ChunkId&)>& visit) override { nodes_->visit_chunks(visit); }

 private:
  std::filesystem::path directory_;
  sqlite::Database database_;
  std::optional<NodeCache> nodes_;
  std::optional<ClientIdentity> client_;
};

}  // namespace

std::unique_ptr<Catalog> Catalog::open(const std::filesystem::path& file) {
  if (file.has_parent_path()) {
    std::error_code failed;
    std::filesystem::create_directories(file.parent_path(), failed);
    if (failed) throw system_error(failed.value(), "cannot make the catalog's folder", file.parent_path().string());
  }
  return std::make_unique<SqliteCatalog>(file);
}

}  // namespace vmferry::catalog
