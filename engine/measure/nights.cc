#include "engine/measure/nights.h"

#include <stdlib.h>

#include <algorithm>
#include <stdexcept>

#include "engine/measure/former_blocks.h"
#include "engine/measure/measuring_target.h"
#include "engine/measure/rsync_model.h"
#include "protocol/error.h"

namespace vmferry::measure {
namespace fs = std::filesystem;
namespace {

constexpr const char* machine_name = "bench";
// TCP, TLS, the handshake with the opening, the last offer with its answer, the commit. All else overlaps.
constexpr unsigned backup_round_trips = 5;
constexpr unsigned copy_round_trips = 2;  // the line, and the end

class WorkDirectory {
 public:
  explicit WorkDirectory(const fs::path& below) {
    std::string name = (below / "vmferry-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
      throw system_error(errno, "cannot make a directory for the measurement", name);
    path_ = name;
  }
  ~WorkDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;

  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

// Says which night and step it is.
class StepEvents final : public backup::BackupEvents {
 public:
  StepEvents(NightEvents& events, std::string step) : events_(events), step_(std::move(step)) {}
  void phase(const std::string& name) override { events_.phase(step_ + ": " + name); }
  void progress(std::uint64_t read_bytes, std::uint64_t total_bytes, std::uint64_t sent_bytes) override {
    events_.progress(read_bytes, total_bytes, sent_bytes);
  }

 private:
  NightEvents& events_;
  const std::string step_;
};

std::uint64_t disk_bytes(const backup::Source& source) {
  std::uint64_t bytes = 0;
  for (const backup::SourceDisk& disk : source.disks()) bytes += disk.disk->size_bytes();
  return bytes;
}

// What a copy that skips holes would send.
std::uint64_t allocated_bytes(const backup::Source& source) {
  std::uint64_t bytes = 0;
  for (const backup::SourceDisk& disk : source.disks()) {
    for (std::uint64_t at = 0; at < disk.disk->size_bytes();) {
      const disk::DiskExtent extent = disk.disk->extent_at(at);
      if (!extent.hole) bytes += extent.range.end() - at;
      at = extent.range.end();
    }
  }
  return bytes;
}

const disk::Disk* disk_of_key(const backup::Source* source, const std::string& key) {
  if (source == nullptr) return nullptr;
  const auto found = std::ranges::find(source->disks(), key, &backup::SourceDisk::key);
  return found == source->disks().end() ? nullptr : found->disk.get();
}

// Nights in their order. The state after a night is that of the backup with deltas: its catalog, its signatures, and
// what the target has; without deltas it would be the same, the signatures aside.
class Measurement {
 public:
  Measurement(const NightOptions& options, NightEvents& events, const std::atomic<bool>& cancel)
      : options_(options), events_(events), cancel_(cancel), work_(options.spool_directory) {
    fs::create_directories(catalog_directory());
  }

  Night add(const fs::path& path) {
    ++number_;
    auto source = std::make_unique<backup::Source>(backup::Source::open(path, {}));
    Night night;
    night.path = path;
    night.disk_bytes = disk_bytes(*source);
    night.ways.push_back({"copy", {night.disk_bytes, 0, copy_round_trips}});
    night.ways.push_back({"sparse_copy", {allocated_bytes(*source), 0, copy_round_trips}});
    night.ways.push_back(rsync(*source, night));
    std::optional<Way> chunks;
    if (former_ != nullptr) chunks = without_deltas(*source, &store_);
    night.ways.push_back(with_deltas(*source, night));
    if (!chunks) {
      // A first night has nothing to build on: both are the same, unless deltas were found within it.
      chunks = night.report.delta_chunks == 0 ? night.ways.back() : without_deltas(*source, nullptr);
      chunks->id = "chunks";
    }
    night.ways.insert(night.ways.end() - 1, std::move(*chunks));
    former_ = std::move(source);
    return night;
  }

 private:
  fs::path catalog_directory() const { return work_ / "catalog"; }

  std::string step(const char* what) const { return "night " + std::to_string(number_) + ", " + what; }

  Way rsync(const backup::Source& source, Night& night) {
    StepEvents events(events_, step("as rsync would"));
    events.phase("comparing");
    const std::uint64_t total = night.disk_bytes + (former_ != nullptr ? disk_bytes(*former_) : 0);
    std::uint64_t done = 0;
    Way way{"rsync", {}};
    for (const backup::SourceDisk& disk : source.disks()) {
      const disk::Disk* former = disk_of_key(former_.get(), disk.key);
      if (former != nullptr && !rsync_is_computable(former->size_bytes())) {
        night.notes.push_back(disk.key + " is too large for the comparison with rsync, which was left out");
        way.computed = false;
        return way;
      }
      const auto tick = [&](std::uint64_t read_bytes) {
        if (cancel_) throw Error(ErrorCode::cancelled, "the measurement was stopped", {}, "nothing was kept");
        events.progress(done + read_bytes, total, 0);
      };
      const Traffic traffic = rsync_traffic(former != nullptr ? rsync_between(*former, *disk.disk, tick)
                                                              : rsync_first(disk.disk->size_bytes()));
      way.traffic.sent_bytes += traffic.sent_bytes;
      way.traffic.received_bytes += traffic.received_bytes;
      way.traffic.round_trips = traffic.round_trips;
      done += disk.disk->size_bytes() + (former != nullptr ? former->size_bytes() : 0);
    }
    return way;
  }

  Way with_deltas(const backup::Source& source, Night& night) {
    catalog::SignatureStore signatures(work_ / "signatures.sqlite");
    Way way = back_up(source, store_, catalog_directory(), &signatures, step("with deltas"), night.report);
    way.id = "vmferry";
    if (!signatures.problem().empty()) night.notes.push_back("deltas were lost: " + signatures.problem());
    return way;
  }

  // On a copy of the state, which is then forgotten. before: null: of nothing.
  Way without_deltas(const backup::Source& source, const MeasuredStore* before) {
    const fs::path directory = work_ / "trial";
    fs::remove_all(directory);
    if (before != nullptr)
      fs::copy(catalog_directory(), directory, fs::copy_options::recursive);
    else
      fs::create_directories(directory);
    MeasuredStore trial(before);
    BackupReport report;
    Way way = back_up(source, trial, directory, nullptr, step("compressed chunks alone"), report);
    way.id = "chunks";
    fs::remove_all(directory);
    return way;
  }

  Way back_up(const backup::Source& source, MeasuredStore& store, const fs::path& catalog_directory,
              catalog::SignatureStore* signatures, const std::string& step, BackupReport& report) {
    StepEvents events(events_, step);
    const auto catalog = catalog::Catalog::open(catalog_directory / "catalog.sqlite");
    const catalog::ClientIdentity client = catalog->client();
    MeasuringTarget target(store, {client.uuid, client.name});
    backup::BackupOptions options;
    options.name = machine_name;
    options.adopt = true;
    options.compression = options_.compression;
    options.signing = options_.signing;
    options.signatures = signatures;
    options.spool_directory = options_.spool_directory;
    report = backup::run_backup(source, options, target.session(), *catalog, events, cancel_).report;
    return {"", {report.sent_bytes, report.received_bytes, backup_round_trips}, report.elapsed_ms};
  }

  const NightOptions& options_;
  NightEvents& events_;
  const std::atomic<bool>& cancel_;
  const WorkDirectory work_;
  MeasuredStore store_;
  std::unique_ptr<backup::Source> former_;
  std::size_t number_ = 0;
};

}  // namespace

const Way& Night::way(std::string_view id) const {
  const auto found = std::ranges::find(ways, id, &Way::id);
  if (found == ways.end()) throw std::logic_error("no such way: " + std::string(id));
  return *found;
}

std::vector<Night> measure_nights(const std::vector<fs::path>& paths, const NightOptions& options, NightEvents& events,
                                  const std::atomic<bool>& cancel) {
  Measurement measurement(options, events, cancel);
  std::vector<Night> nights;
  for (const fs::path& path : paths) nights.push_back(measurement.add(path));
  return nights;
}

}  // namespace vmferry::measure
