// Catalog: the controller's SQLite database. It makes backups fast and is needed for none: without it, or with an old
// copy of it, a backup is slower, never wrong (what it says of a store is believed only for points that the target
// confirms). Kept per store UUID. One Catalog per thread; several processes may have it open.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/catalog/traffic.h"
#include "protocol/chunk_id.h"
#include "protocol/point.h"

namespace vmferry::catalog {

struct ClientIdentity {
  Uuid uuid;
  std::string name;  // host name
};

// Keeps one machine to one backup at a time, on this host, until it is destroyed or the process dies.
class MachineLock {
 public:
  virtual ~MachineLock() = default;
};

class Catalog {
 public:
  // Creates it (and its directory) where there is none; migrates an older schema. Error{version} for a newer one,
  // with the sentence that says what to do; Error{damaged} where SQLite says so (advice: move it away).
  static std::unique_ptr<Catalog> open(const std::filesystem::path& file);
  virtual ~Catalog() = default;

  // This controller's identity: in `client.uuid` beside the catalog, so that losing the catalog does not lose it;
  // made at the first use.
  virtual ClientIdentity client() = 0;

  // Error{busy}: another process is backing this machine up.
  virtual std::unique_ptr<MachineLock> lock_machine(const Uuid& machine) = 0;

  // The UUID that was made up for a machine or disk of this name, where it has none of its own.
  virtual std::optional<Uuid> made_up_uuid(const std::string& kind, const std::string& name) = 0;

  // The newest committed point of a machine in a store, as far as this catalog knows.
  virtual std::optional<RestorePoint> last_point(const Uuid& store, const Uuid& machine) = 0;

  // Its newest committed points in all stores, at most `most`.
  virtual std::vector<Uuid> last_points_anywhere(const Uuid& machine, std::size_t most) = 0;

  // Those of other machines in the same store, the newest first, at most `most`: a new machine may be like one of them.
  virtual std::vector<RestorePoint> last_points_of_others(const Uuid& store, const Uuid& machine, std::size_t most) = 0;

  // Tree nodes of the last point, so that planning needs no round trips. nullopt where it is not cached.
  virtual std::optional<Bytes> node(const Uuid& domain, const ChunkId& id) = 0;

  // One transaction per backup: all of it or nothing.
  class Commit {
   public:
    virtual ~Commit() = default;
    virtual void node(const ChunkId& id, ByteView bytes) = 0;  // a node of the new point that was not cached
    virtual void made_up_uuid(const std::string& kind, const std::string& name, const Uuid& uuid) = 0;
    // Why the new point sent what it sent; at most once, before finish().
    virtual void traffic(const PointTraffic& traffic) = 0;
    virtual void finish(const Uuid& store, const RestorePoint& point) = 0;  // durable when it returns
  };
  virtual std::unique_ptr<Commit> begin_commit(const Uuid& domain) = 0;

  // The points whose traffic is known, newest first; of one machine, or of all (an empty name).
  virtual std::vector<TrafficPoint> traffic_points(const std::string& machine_name) = 0;
  virtual std::optional<PointTraffic> traffic(const Uuid& point) = 0;

  // Drops cached nodes that no machine's last point reaches, once they outweigh those that are reached.
  virtual void trim_nodes() = 0;
  // Every chunk that a last point's image maps name, as far as their nodes are cached; one may come several times.
  virtual void visit_last_chunks(const std::function<void(const ChunkId&)>& visit) = 0;
};

}  // namespace vmferry::catalog
