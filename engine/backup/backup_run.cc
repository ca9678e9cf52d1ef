#include "engine/backup/backup_run.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "engine/backup/point_builder.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::backup {
namespace {

constexpr int attempts_max = 3;
constexpr std::chrono::milliseconds progress_every{250};
constexpr std::size_t slab_body_bytes = 2u << 20;
constexpr std::size_t map_sort_bytes = 16u << 20;
constexpr std::size_t layout_sort_bytes = 24u << 20;     // of all disks' layouts together, per sorter
constexpr std::size_t layout_sort_bytes_min = 1u << 20;
constexpr std::size_t file_chunks_max = 60000;            // in all files of a point: it is read whole

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

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

BackupRun::BackupRun(const Source& source, const BackupOptions& options, target::TargetSession& session,
                     catalog::Catalog& catalog, BackupEvents& events, const std::atomic<bool>& cancel)
    : source_(source),
      options_(options),
      session_(session),
      catalog_(catalog),
      events_(events),
      cancel_(cancel),
      started_(std::chrono::steady_clock::now()),
      taken_ms_(now_ms()),
      counts_before_(session.counts()),
      chunker_(session.facts().chunking),
      key_(session.facts().domain_key) {}

void BackupRun::warn(Warning warning) {
  events_.warning(warning);
  warnings_.push_back(std::move(warning));
}

void BackupRun::tick(const Attempt* attempt) {
  if (cancel_) throw Error(ErrorCode::cancelled, "the backup was stopped", {}, "what arrived counts next time");
  const auto now = std::chrono::steady_clock::now();
  if (attempt == nullptr || now - last_progress_ < progress_every) return;
  last_progress_ = now;
  events_.progress(std::min(total_bytes_, attempt->counts.read_bytes), total_bytes_,
                   session_.counts().sent_bytes - counts_before_.sent_bytes);
}

RestorePoint BackupRun::run() {
  identity_ = identify(source_, options_.name, catalog_, session_);
  const std::unique_ptr<catalog::MachineLock> lock = catalog_.lock_machine(identity_.machine);
  notes_ = source_.notes();
  events_.phase("reading the file system");
  build_layouts();

  const target::BackupOpened opened = session_.open_backup(opening());
  try {
    RestorePoint point = run_opened(opened.bases.empty() ? nullptr : &opened.bases.front());
    remember(point);
    return point;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unreachable) try {
        session_.close_backup();
      } catch (const Error&) {  // the first error is the one to tell
      }
    throw;
  }
}

std::unique_ptr<DiskLayout> BackupRun::build_layout(const SourceDisk& disk, bool suspended) const {
  LayoutOptions layout;
  layout.keep = options_.keep;
  layout.suspended = suspended;
  layout.sandbox = options_.sandbox;
  layout.spool_directory = options_.spool_directory;
  layout.sort_memory_bytes = std::max(layout_sort_bytes_min, layout_sort_bytes / source_.disks().size());
  return DiskLayout::build(*disk.disk, layout, disk.key);
}

void BackupRun::build_layouts() {
  bool hibernated = false;
  for (const SourceDisk& disk : source_.disks()) {
    tick(nullptr);
    layouts_.push_back(build_layout(disk, source_.suspended()));
    hibernated = hibernated || layouts_.back()->hibernated();
  }
  // Windows sleeps on one disk and may have the others in its memory: then nothing is left out on any.
  for (std::size_t i = 0; hibernated && !source_.suspended() && i < layouts_.size(); ++i) {
    if (layouts_[i]->hibernated()) continue;
    tick(nullptr);
    layouts_[i].reset();
    layouts_[i] = build_layout(source_.disks()[i], true);
  }
  for (const auto& layout : layouts_) {
    total_bytes_ += layout->bytes().data;
    for (const Warning& warning : layout->warnings()) warn(warning);
    notes_.insert(notes_.end(), layout->notes().begin(), layout->notes().end());
  }
}

target::BackupOpening BackupRun::opening() const {
  target::BackupOpening opening;
  opening.machine_uuid = identity_.machine;
  opening.machine_name = identity_.name;
  for (const DiskIdentity& disk : identity_.disks) opening.disk_uuids.push_back(disk.remembered ? disk.uuid : Uuid{});
  opening.adopt = options_.adopt;
  if (const auto last = catalog_.last_point(session_.facts().store_uuid, identity_.machine))
    opening.base_candidates.push_back(last->uuid);
  return opening;
}

RestorePoint BackupRun::run_opened(const RestorePoint* base) {
  nodes_ = std::make_unique<NodeSource>(catalog_, session_.facts().domain_uuid, key_, session_.chunks(),
                                        options_.spool_directory);
  nodes_for_catalog_.emplace(options_.spool_directory);
  for (int i = 0; i < attempts_max; ++i) {
    events_.phase("backing up");
    try {
      CommitResult result = attempt(base);
      if (result.committed) {
        BackupReport& report = result.point.report;
        report.sent_bytes = session_.counts().sent_bytes - counts_before_.sent_bytes;
        report.received_bytes = session_.counts().received_bytes - counts_before_.received_bytes;
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
  sending.compression_level = options_.compression.level;
  sending.threads = threads_or_all(options_.compress_threads);
  sending.offer_bytes_max = slab_bytes_max / 6;
  attempt.sender = std::make_unique<ChunkSender>(session_, *attempt.pool, sending);

  for (std::size_t i = 0; i < source_.disks().size(); ++i) send_disk(attempt, i);
  for (const SourceFile& file : source_.files()) attempt.files.push_back(send_file(attempt, file));
  attempt.sender->finish();
  source_.check_unchanged();
  tick(&attempt);

  events_.phase("committing");
  return session_.commit(point_of(attempt, base));
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
  MapSpool map(options_.spool_directory, map_sort_bytes);
  DiskPass(*disk.disk, layout, former_disk.get(), chunker_, key_, *attempt.pool, *attempt.sender, map, attempt.counts,
           [&] { tick(&attempt); })
      .run();
  former_disk.reset();

  TreeSender trees(*attempt.sender, *attempt.pool, attempt.known_nodes, *nodes_, *nodes_for_catalog_);
  const auto emit = [&](const ChunkId& id, ByteView node) { trees.emit(id, node); };
  PointDisk point = describe_disk(disk, identity_.disks[index], layout);
  point.image_map = map.write(layout, disk.disk->size_bytes(), key_, emit);
  for (std::size_t v = 0; v < point.volumes.size(); ++v) {
    if (!point.volumes[v].cracked) continue;
    tick(&attempt);
    TreeBuilder builder(key_, emit);
    layout.file_index(static_cast<std::uint32_t>(v), [&](ByteView key, ByteView value) { builder.add(key, value); });
    point.volumes[v].file_index = builder.finish();
  }
  trees.finish();
  attempt.disks.push_back(std::move(point));
}

PointFile BackupRun::send_file(Attempt& attempt, const SourceFile& file) {
  PointFile point;
  point.name = file.name;
  point.size_bytes = file.size_bytes;
  ChunkStep step(chunker_, key_, *attempt.sender, [&](const StreamCutter::Cut& cut) {
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
  point.domain_uuid = session_.facts().domain_uuid;
  point.source = source_.kind();
  point.taken_ms = taken_ms_;
  point.exact = options_.keep.exact;
  point.is_vmx = source_.is_vmx();
  point.disks = std::move(attempt.disks);
  point.files = std::move(attempt.files);
  point.software = "vmferry 0.1.0";

  BackupReport& report = point.report;
  report.warnings = warnings_;
  report.notes = notes_;
  for (const PointDisk& disk : point.disks) {
    report.disk_bytes += disk.size_bytes;
    for (const PointVolume& volume : disk.volumes) report.files += volume.files;
    const PointDisk* former = base != nullptr ? former_disk_of(*base, disk.uuid, disk.key) : nullptr;
    for (Warning& warning : no_longer_cracked(former, disk)) report.warnings.push_back(std::move(warning));
  }
  const SentCounts sent = attempt.sender->sent();
  report.read_bytes = attempt.counts.read_bytes;
  report.chunks = attempt.counts.chunks;
  report.new_chunks = sent.chunks;
  report.new_bytes = sent.bytes;
  const TransportCounts counts = session_.counts();
  report.sent_bytes = counts.sent_bytes - counts_before_.sent_bytes;
  report.received_bytes = counts.received_bytes - counts_before_.received_bytes;
  report.elapsed_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - started_).count());
  return point;
}

// The point is committed: what goes wrong here only makes the next backup slower.
void BackupRun::remember(RestorePoint& point) {
  try {
    const std::unique_ptr<catalog::Catalog::Commit> commit = catalog_.begin_commit(session_.facts().domain_uuid);
    const auto keep = [&](const ChunkId& id, ByteView node) { commit->node(id, node); };
    nodes_->fetched().visit(keep);
    nodes_for_catalog_->visit(keep);
    if (identity_.machine_made_up) commit->made_up_uuid("machine", identity_.name, identity_.machine);
    for (const PointDisk& disk : point.disks)
      if (disk.uuid_made_up) commit->made_up_uuid("disk", disk_memory_name(identity_.name, disk.key), disk.uuid);
    commit->finish(session_.facts().store_uuid, point);
    catalog_.trim_nodes();
  } catch (const Error& error) {
    Warning warning{"catalog", identity_.name,
                    std::string("the restore point is safe, but the catalog could not be written: ") + error.what()};
    events_.warning(warning);
    point.report.warnings.push_back(std::move(warning));
  }
  point.report.elapsed_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - started_).count());
}

}  // namespace vmferry::backup
