#include "engine/backup/backup_run.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "engine/backup/point_builder.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/software.h"

namespace vmferry::backup {
namespace {

constexpr int attempts_max = 3;
constexpr std::chrono::milliseconds progress_every{250};
constexpr std::size_t slab_body_bytes = 2u << 20;
constexpr std::size_t map_sort_bytes = 16u << 20;
constexpr std::size_t siblings_max = 64;                  // looked at for a machine without a point of its own
constexpr std::size_t file_chunks_max = 60000;            // in all files of a point: it is read whole

unsigned threads_or_all(unsigned threads) {
  return threads != 0 ? threads : std::max(1u, std::thread::hardware_concurrency());
}

class OpenFile {
 public:
  explicit OpenFile(const SourceFile& file) : file_(file), descriptor_(open(file.path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw system_error(errno, "cannot open a file of the machine", file.path.string());
  }
  ~OpenFile() { close(descriptor_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  void read_fully(std::byte* into, std::size_t length) {
    while (length > 0) {
      const ssize_t got = read(descriptor_, into, length);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw system_error(errno, "cannot read a file of the machine", file_.path.string());
      if (got == 0)
        throw Error(ErrorCode::refused, "a file became shorter while it was read", file_.path.string(),
                    "is the machine running? take a snapshot first");
      into += got;
      length -= static_cast<std::size_t>(got);
    }
  }

 private:
  const SourceFile& file_;
  int descriptor_;
};

}  // namespace

// What one attempt builds up. The sender goes first when it fails: its threads use the pool.
struct BackupRun::Attempt {
  const RestorePoint* base;
  std::vector<PointDisk> disks;
  std::vector<PointFile> files;
  KnownNodes known_nodes;
  PassCounts counts;
  std::shared_ptr<SlabPool> pool;
  std::unique_ptr<ChunkSender> sender;
};

BackupRun::BackupRun(const BackupParts& parts, target::TargetSession& session)
    : parts_(parts),
      source_(parts.source),
      options_(parts.options),
      identity_(parts.identity),
      catalog_(parts.catalog),
      events_(parts.events),
      layouts_(parts.layout.disks),
      session_(session),
      facts_(session.facts()),
      counts_before_(session.counts()),
      chunker_(facts_.chunking),
      notes_(parts.source.notes()) {
  notes_.insert(notes_.end(), parts.layout.notes.begin(), parts.layout.notes.end());
  if (parts.session_number > 1)
    notes_.push_back("the target went away meanwhile, and " + std::to_string(parts.session_number) +
                     " sessions were needed: " + std::to_string(parts.former_sessions.sent_bytes) +
                     " of the bytes were sent before the last one, and what arrived of them was not sent again");
}

void throw_if_cancelled(const std::atomic<bool>& cancel) {
  if (cancel) throw Error(ErrorCode::cancelled, "the backup was stopped", {}, "what arrived counts next time");
}

target::BackupOpening opening_of(const Identity& identity, const BackupOptions& options) {
  target::BackupOpening opening;
  opening.machine_uuid = identity.machine;
  opening.machine_name = identity.name;
  for (const DiskIdentity& disk : identity.disks) opening.disk_uuids.push_back(disk.remembered ? disk.uuid : Uuid{});
  opening.adopt = options.adopt;
  return opening;
}

TransportCounts BackupRun::moved() const {
  const TransportCounts now = session_.counts();
  return {parts_.former_sessions.sent_bytes + now.sent_bytes - counts_before_.sent_bytes,
          parts_.former_sessions.received_bytes + now.received_bytes - counts_before_.received_bytes};
}

void BackupRun::tick(const Attempt* attempt) {
  throw_if_cancelled(parts_.cancel);
  const auto now = std::chrono::steady_clock::now();
  if (attempt == nullptr || now - last_progress_ < progress_every) return;
  last_progress_ = now;
  const std::uint64_t total_bytes = parts_.layout.data_bytes;
  events_.progress(std::min(total_bytes, attempt->counts.read_bytes), total_bytes, moved().sent_bytes);
}

void BackupRun::open() { opened_ = session_.open_backup(opening()); }

const RestorePoint* BackupRun::base_with(const Uuid& point) const {
  const auto found = std::ranges::find(opened_.bases, point, &RestorePoint::uuid);
  return found == opened_.bases.end() ? nullptr : &*found;
}

void BackupRun::close() noexcept {
  try {
    session_.close_backup();
  } catch (const Error&) {  // what was done before is what counts
  }
}

RestorePoint BackupRun::run() {
  try {
    RestorePoint point = attempts();
    remember(point);
    return point;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unreachable) close();
    throw;
  }
}

RestorePoint BackupRun::found_committed(RestorePoint point, const TransportCounts& moved) {
  point.report.sent_bytes = moved.sent_bytes;
  point.report.received_bytes = moved.received_bytes;
  point.report.notes.push_back("the target went away before it said that the point is committed: it is");
  remember(point);
  return point;
}

// A machine that was never backed up may be another one's clone, or run the same system: its files are the basis then.
std::optional<Uuid> BackupRun::likeliest_sibling() const {
  std::optional<Uuid> best;
  int best_likeness = -1;
  for (const RestorePoint& point :
       catalog_.last_points_of_others(facts_.store_uuid, identity_.machine, siblings_max)) {
    int likeness = 0;
    for (std::size_t i = 0; i < layouts_.size(); ++i) {
      const PointDisk* disk = former_disk_of(point, {}, source_.disks()[i].key);
      if (disk == nullptr) continue;
      likeness += disk->size_bytes == source_.disks()[i].disk->size_bytes() ? 1 : 0;
      for (const LayoutVolume& volume : layouts_[i]->volumes())
        for (const PointVolume& former : disk->volumes)
          if (volume.cracked && former.cracked && former.partition == volume.partition.number)
            likeness += former.serial == volume.facts.serial ? 10 : 2;
    }
    if (likeness > best_likeness) best = point.uuid;
    best_likeness = std::max(best_likeness, likeness);
  }
  return best;
}

target::BackupOpening BackupRun::opening() const {
  target::BackupOpening opening = opening_of(identity_, options_);
  if (const auto last = catalog_.last_point(facts_.store_uuid, identity_.machine))
    opening.base_candidates.push_back(last->uuid);
  else if (const auto sibling = likeliest_sibling())
    opening.base_candidates.push_back(*sibling);
  return opening;
}

RestorePoint BackupRun::attempts() {
  const RestorePoint* base = opened_.bases.empty() ? nullptr : &opened_.bases.front();
  nodes_ = std::make_unique<NodeSource>(catalog_, facts_.domain_uuid, facts_.domain_key, session_.chunks(),
                                        options_.spool_directory);
  nodes_for_catalog_.emplace(options_.spool_directory);
  for (int i = 0; i < attempts_max; ++i) {
    events_.phase("backing up");
    try {
      CommitResult result = attempt(base);
      if (result.committed) {
        BackupReport& report = result.point.report;
        report.sent_bytes = moved().sent_bytes;
        report.received_bytes = moved().received_bytes;
        report.stored_bytes = result.stored_bytes;
        return std::move(result.point);
      }
      notes_.push_back("the target lacked " + std::to_string(result.missing.size()) +
                       " or more chunks that were taken for known: all were offered again");
    } catch (const FormerUnreadable& error) {
      if (base == nullptr) throw;
      notes_.push_back(std::string(error.what()) + ": the backup was made without it");
    }
    base = nullptr;
  }
  throw Error(ErrorCode::damaged, "the target says again and again that chunks are missing", identity_.name,
              "run vmferry verify on its last restore point, and look at the store's disk");
}

target::CommitResult BackupRun::attempt(const RestorePoint* base) {
  Attempt attempt;
  attempt.base = base;
  const std::size_t slab_bytes_max = options_.memory_bytes / 4 * 3;
  attempt.pool = SlabPool::create(chunker_.parameters().size_max, slab_body_bytes, slab_bytes_max);
  SenderOptions sending;
  sending.compression = options_.compression;
  sending.threads = threads_or_all(options_.compress_threads);
  sending.offer_bytes_max = slab_bytes_max / 6;
  sending.held_bytes_max = slab_bytes_max / 6;
  sending.deltas = options_.deltas;
  sending.signing = options_.signing;
  traffic_ = std::make_unique<TrafficLedger>();
  attempt.sender = std::make_unique<ChunkSender>(session_, *attempt.pool, *traffic_, options_.signatures, sending);

  if (base != nullptr) bring_trees(*base);
  for (std::size_t i = 0; i < source_.disks().size(); ++i) send_disk(attempt, i);
  for (const SourceFile& file : source_.files()) attempt.files.push_back(send_file(attempt, file));
  attempt.sender->finish();
  source_.check_unchanged();
  tick(&attempt);

  events_.phase("committing");
  const RestorePoint point = point_of(attempt, base);
  offered_point_ = point.uuid;
  CommitResult result = session_.commit(point);
  offered_point_ = {};
  return result;
}

// All that the former disks' trees are looked up for, in as many round trips as they have levels.
void BackupRun::bring_trees(const RestorePoint& base) {
  std::vector<TreeRoot> trees;
  for (std::size_t i = 0; i < source_.disks().size(); ++i) {
    const PointDisk* former = former_disk_of(base, identity_.disks[i].uuid, source_.disks()[i].key);
    if (former == nullptr) continue;
    trees.push_back(former->image_map);
    for (const PointVolume& volume : former->volumes) trees.push_back(volume.file_index);
  }
  nodes_->bring(trees);
}

// Every chunk of the base point was signed when its backup ended, unless the signatures were lost since.
bool BackupRun::sign_known(const RestorePoint* base) const {
  return options_.signatures != nullptr && base != nullptr &&
         options_.signatures->signed_up_to(facts_.store_uuid, base->machine_uuid) != base->uuid;
}

void BackupRun::send_disk(Attempt& attempt, std::size_t index) {
  const SourceDisk& disk = source_.disks()[index];
  DiskLayout& layout = *layouts_[index];
  const PointDisk* former =
      attempt.base != nullptr ? former_disk_of(*attempt.base, identity_.disks[index].uuid, disk.key) : nullptr;
  std::unique_ptr<FormerDisk> former_disk;
  if (former != nullptr && former->image_map.levels > 0) {
    former_disk = std::make_unique<FormerDisk>(*former, *nodes_);
    attempt.known_nodes.add_tree(former->image_map, *nodes_);
    for (const PointVolume& volume : former->volumes) attempt.known_nodes.add_tree(volume.file_index, *nodes_);
  }
  PointDisk point = describe_disk(disk, identity_.disks[index], layout);
  TreeSender trees(*attempt.sender, *attempt.pool, attempt.known_nodes, *nodes_, *nodes_for_catalog_);
  // The indexes first: they say which file is whose next version.
  for (std::uint32_t v = 0; v < point.volumes.size(); ++v) {
    if (!point.volumes[v].cracked) continue;
    tick(&attempt);
    send_index(attempt, layout, v, former, former_disk.get(), trees, point.volumes[v]);
  }
  trees.finish();

  MapSpool map(options_.spool_directory, map_sort_bytes);
  DiskPass(*disk.disk, static_cast<std::uint32_t>(index), layout, former_disk.get(), map,
           {chunker_, facts_.domain_key, *attempt.pool, *attempt.sender, *traffic_, attempt.counts, sign_known(attempt.base),
            [&] { tick(&attempt); }})
      .run();
  former_disk.reset();

  trees.begin_tree(former != nullptr ? &former->image_map : nullptr);
  point.image_map = map.write(layout, disk.disk->size_bytes(), facts_.domain_key,
                              [&](const ChunkId& id, ByteView node) { trees.emit(id, node); });
  trees.finish();
  attempt.disks.push_back(std::move(point));
}

void BackupRun::send_index(Attempt& attempt, DiskLayout& layout, std::uint32_t volume, const PointDisk* former,
                           FormerDisk* former_disk, TreeSender& trees, PointVolume& point) {
  const PointVolume* former_volume = former != nullptr ? former_volume_of(*former, point.partition) : nullptr;
  const TreeRoot* former_root =
      former_volume != nullptr && former_volume->cracked ? &former_volume->file_index : nullptr;
  trees.begin_tree(former_root);
  std::optional<FormerNames> names;
  if (former_disk != nullptr && former_root != nullptr)
    names.emplace(*former_root, *nodes_, attempt.base->machine_uuid == identity_.machine);
  TreeBuilder builder(facts_.domain_key, [&](const ChunkId& id, ByteView node) {
    if (trees.emit(id, node) && names) names->new_node(node);
  });
  layout.file_index(volume, [&](ByteView key, ByteView value) { builder.add(key, value); });
  point.file_index = builder.finish();
  if (names) former_disk->set_references(point.partition, names->finish());
}

PointFile BackupRun::send_file(Attempt& attempt, const SourceFile& file) {
  PointFile point;
  point.name = file.name;
  point.size_bytes = file.size_bytes;
  StreamInfo stream;
  stream.kind = StreamKind::outside;
  stream.bytes = file.size_bytes;
  const AccountNumber account = traffic_->open(static_cast<std::uint32_t>(source_.disks().size()), stream);
  traffic_->read(account, file.size_bytes);
  ChunkStep step(chunker_, facts_.domain_key, [&](const StreamCutter::Cut& cut, const SlabPointer& slab, ByteView content) {
    attempt.sender->add(cut.id, slab, content, {false, account, 0, nullptr});
    point.chunks.push_back(cut.id);
    point.chunk_lengths.push_back(cut.length);
    ++attempt.counts.chunks;
  });
  step.keep_zeros(true);  // a point has no place for zeros
  step.begin(nullptr, CutRule::exact);
  OpenFile open(file);
  const std::atomic<bool> never{false};
  for (std::uint64_t at = 0; at < file.size_bytes;) {
    tick(&attempt);
    attempt.sender->flush_if_short_of_memory();
    const SlabPointer slab = attempt.pool->take(never);
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(file.size_bytes - at, slab->capacity));
    open.read_fully(slab->body(), length);
    at += length;
    step.feed(slab, 0, length, at == file.size_bytes);
    attempt.sender->slab_done();
    if (point.chunks.size() > file_chunks_max)
      throw Error(ErrorCode::unsupported, "a file of the machine is too large", file.path.string(),
                  "shut the machine down instead of suspending it");
  }
  return point;
}

RestorePoint BackupRun::point_of(Attempt& attempt, const RestorePoint* base) const {
  RestorePoint point;
  point.uuid = Uuid::random();
  point.machine_uuid = identity_.machine;
  point.machine_uuid_made_up = identity_.machine_made_up;
  point.machine_name = identity_.name;
  const catalog::ClientIdentity client = catalog_.client();
  point.client_uuid = client.uuid;
  point.client_name = client.name;
  point.domain_uuid = facts_.domain_uuid;
  point.source = source_.kind();
  point.taken_ms = parts_.taken_ms;
  point.exact = options_.keep.exact;
  point.is_vmx = source_.is_vmx();
  point.disks = std::move(attempt.disks);
  point.files = std::move(attempt.files);
  point.software = software_name;

  BackupReport& report = point.report;
  report.warnings = parts_.layout.warnings;
  report.notes = notes_;
  if (options_.signatures != nullptr && !options_.signatures->problem().empty())
    report.notes.push_back("the signature file was of no use, so changed chunks go whole: " +
                           options_.signatures->problem());
  for (const PointDisk& disk : point.disks) {
    report.disk_bytes += disk.size_bytes;
    for (const PointVolume& volume : disk.volumes) report.files += volume.files;
    const bool same_machine = base != nullptr && base->machine_uuid == identity_.machine;
    const PointDisk* former = same_machine ? former_disk_of(*base, disk.uuid, disk.key) : nullptr;
    for (Warning& warning : no_longer_cracked(former, disk)) report.warnings.push_back(std::move(warning));
  }
  const SentCounts sent = attempt.sender->sent();
  report.read_bytes = attempt.counts.read_bytes;
  report.chunks = attempt.counts.chunks;
  report.new_chunks = sent.chunks;
  report.new_bytes = sent.bytes;
  report.delta_chunks = sent.delta_chunks;
  report.delta_bytes = sent.delta_bytes;
  report.delta_wire_bytes = sent.delta_wire_bytes;
  report.node_wire_bytes = sent.node_wire_bytes;
  report.whole_again_chunks = sent.whole_again;
  report.sent_bytes = moved().sent_bytes;
  report.received_bytes = moved().received_bytes;
  report.elapsed_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - parts_.started).count());
  return point;
}

catalog::PointTraffic BackupRun::traffic_of(const RestorePoint& point) const {
  std::vector<std::string> keys;
  for (const SourceDisk& disk : source_.disks()) keys.push_back(disk.key);
  catalog::PointTraffic traffic = name_traffic(*traffic_, layouts_, keys);
  traffic.point.identify(facts_.store_uuid, point);
  return traffic;
}

// A catalog that cannot say what its last points name leaves the signatures over their budget until it can.
void BackupRun::trim_signatures(RestorePoint& point) {
  try {
    options_.signatures->trim([this](const catalog::SignatureStore::Name& name) { catalog_.visit_last_chunks(name); });
  } catch (const Error& error) {
    point.report.notes.push_back(std::string("the signatures were not trimmed: ") + error.what());
  }
}

// The point is committed: what goes wrong here only makes the next backup slower.
void BackupRun::remember(RestorePoint& point) {
  std::optional<catalog::PointTraffic> traffic;
  try {
    traffic = traffic_of(point);
  } catch (const Error& error) {
    point.report.notes.push_back(std::string("what each file sent was not kept: ") + error.what());
  }
  try {
    const std::unique_ptr<catalog::Catalog::Commit> commit = catalog_.begin_commit(facts_.domain_uuid);
    const auto keep = [&](const ChunkId& id, ByteView node) { commit->node(id, node); };
    nodes_->fetched().visit(keep);
    nodes_for_catalog_->visit(keep);
    if (identity_.machine_made_up) commit->made_up_uuid("machine", identity_.name, identity_.machine);
    for (const PointDisk& disk : point.disks)
      if (disk.uuid_made_up) commit->made_up_uuid("disk", disk_memory_name(identity_.name, disk.key), disk.uuid);
    if (traffic) commit->traffic(*traffic);
    commit->finish(facts_.store_uuid, point);
    catalog_.trim_nodes();
    if (options_.signatures != nullptr) {
      options_.signatures->set_signed_up_to(facts_.store_uuid, identity_.machine, point.uuid);
      trim_signatures(point);
    }
  } catch (const Error& error) {
    Warning warning{"catalog", identity_.name,
                    std::string("the restore point is safe, but the catalog could not be written: ") + error.what()};
    events_.warning(warning);
    point.report.warnings.push_back(std::move(warning));
  }
  point.report.elapsed_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - parts_.started).count());
}

}  // namespace vmferry::backup
