#include "engine/backup/identity.h"

#include <optional>
#include <utility>

#include "engine/disk/partitions.h"
#include "protocol/error.h"

namespace vmferry::backup {
namespace {

// The newest point of this name and client at the target; asked for once, and only where it is needed.
class LastPoint {
 public:
  LastPoint(const std::string& name, const Uuid& client, target::TargetSession* session)
      : name_(name), client_(client), session_(session) {}

  const RestorePoint* get() {
    if (!std::exchange(asked_, true) && session_ != nullptr) {
      std::optional<PointSummary> newest;
      for (PointSummary& point : session_->points())
        if (point.machine_name == name_ && point.client_uuid == client_ &&
            (!newest || point.arrived_ms > newest->arrived_ms ||
             (point.arrived_ms == newest->arrived_ms && point.number > newest->number)))
          newest = std::move(point);
      try {
        if (newest) point_ = session_->point(newest->uuid);
      } catch (const Error& error) {  // it was deleted since, or cannot be read
        if (error.code() != ErrorCode::not_found && error.code() != ErrorCode::damaged) throw;
      }
    }
    return point_ ? &*point_ : nullptr;
  }
  bool was_asked() const noexcept { return asked_; }

 private:
  const std::string& name_;
  const Uuid client_;
  target::TargetSession* const session_;  // null: nobody can be asked
  bool asked_ = false;
  std::optional<RestorePoint> point_;
};

// The same disk has the same one for as long as its partition table has the same identifier.
Uuid derived_disk_uuid(const disk::Disk& disk) {
  const Uuid table = disk::read_partitions(disk).disk_id;
  if (table.is_none()) return {};
  ByteWriter from;
  from.string("vmferry disk");
  from.bytes(table.view());
  from.u64(disk.size_bytes());
  return Uuid::derived(from.view());
}

// Of the name too: a copy of a disk under another name is another machine.
Uuid derived_machine_uuid(const std::string& name, const Uuid& first_disk) {
  ByteWriter from;
  from.string("vmferry machine");
  from.string(name);
  from.bytes(first_disk.view());
  return Uuid::derived(from.view());
}

// Made up at random, for a disk that had nothing to derive it from.
bool is_random(const Uuid& uuid) { return std::to_integer<unsigned>(uuid.bytes[6]) >> 4 == 4; }

// The last point's disk of this key, where it says what kind of identity the disk had.
const PointDisk* former_disk(const SourceDisk& disk, LastPoint& last) {
  if (const RestorePoint* point = last.get())
    for (const PointDisk& former : point->disks)
      if (former.key == disk.key) return &former;
  return nullptr;
}

DiskIdentity identify_disk(const SourceDisk& disk, const std::string& name, catalog::Catalog& catalog, LastPoint& last) {
  if (const Uuid& own = disk.disk->description().uuid; !own.is_none()) return {own, false, true};
  if (const Uuid derived = derived_disk_uuid(*disk.disk); !derived.is_none()) return {derived, true, true};
  const auto remembered = catalog.made_up_uuid("disk", disk_memory_name(name, disk.key));
  if (remembered && is_random(*remembered)) return {*remembered, true, true};
  const PointDisk* former = former_disk(disk, last);
  if (former == nullptr) return {Uuid::random(), true, false};
  if (former->uuid_made_up && is_random(former->uuid)) return {former->uuid, true, true};
  // A disk without an identity where there was one with: not the same disk. The target is told, and refuses the name.
  return {Uuid::random(), true, true};
}

Uuid made_up_machine(const Identity& identity, catalog::Catalog& catalog, LastPoint& last) {
  if (const auto remembered = catalog.made_up_uuid("machine", identity.name)) return *remembered;
  if (const RestorePoint* point = last.get()) return point->machine_uuid;
  if (!identity.disks.empty() && identity.disks.front().remembered)
    return derived_machine_uuid(identity.name, identity.disks.front().uuid);
  return Uuid::random();
}

}  // namespace

std::string disk_memory_name(const std::string& machine_name, const std::string& disk_key) {
  return machine_name + "/" + disk_key;
}

std::string machine_name_of(const Source& source, const std::string& name) {
  const std::string& chosen = name.empty() ? source.default_name() : name;
  if (!valid_machine_name(chosen))
    throw Error(ErrorCode::usage, "this cannot be a machine's name", chosen,
                "give another one with --name (no '/', '@', ':' or '\\', at most 255 bytes)");
  return chosen;
}

namespace {

// nullopt: somebody would have to be asked.
std::optional<Identity> identify_by(const Source& source, const std::string& name, catalog::Catalog& catalog,
                                    target::TargetSession* session) {
  Identity identity;
  identity.name = machine_name_of(source, name);
  LastPoint last(identity.name, catalog.client().uuid, session);
  for (const SourceDisk& disk : source.disks())
    identity.disks.push_back(identify_disk(disk, identity.name, catalog, last));
  identity.machine = source.machine_uuid();
  if (identity.machine.is_none()) {
    identity.machine_made_up = true;
    identity.machine = made_up_machine(identity, catalog, last);
  }
  if (session == nullptr && last.was_asked()) return std::nullopt;
  return identity;
}

}  // namespace

Identity identify(const Source& source, const std::string& name, catalog::Catalog& catalog,
                  target::TargetSession& session) {
  return *identify_by(source, name, catalog, &session);
}

std::optional<Identity> identify_alone(const Source& source, const std::string& name, catalog::Catalog& catalog) {
  return identify_by(source, name, catalog, nullptr);
}

}  // namespace vmferry::backup
