#include "engine/crack/ntfs/volume_cracker.h"

#include <algorithm>
#include <optional>

#include "engine/crack/ntfs/boot_sector.h"
#include "engine/crack/ntfs/cluster_bitmap.h"
#include "engine/crack/ntfs/cluster_claims.h"
#include "engine/crack/ntfs/file_record.h"
#include "engine/crack/ntfs/little_endian.h"
#include "engine/crack/ntfs/log_file.h"
#include "engine/crack/ntfs/mft.h"
#include "engine/crack/ntfs/ntfs3g_volume.h"
#include "engine/crack/ntfs/special_files.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

constexpr std::uint64_t record_of_log = 2;
constexpr std::uint64_t record_of_volume = 3;
constexpr std::uint64_t record_of_bitmap = 6;
constexpr std::uint64_t first_user_record = 24;
constexpr std::uint16_t volume_is_dirty = 1;

[[noreturn]] void reject_volume(const std::string& why) {
  throw Error(ErrorCode::malformed, "cannot crack the volume", {}, why);
}

class VolumeCracker {
 public:
  VolumeCracker(VolumeReader& volume, EventWriter& events)
      : volume_(volume), events_(events), mft_(volume, read_boot_sector(volume)), claims_(mft_.boot().clusters) {}

  void crack() {
    VolumeFacts facts = find_facts();
    ClusterBitmap bitmap(system_stream(record_of_bitmap, "$Bitmap"), mft_.boot().clusters);
    LogFindings log = read_log();
    facts.cleanly_closed = log.cleanly_closed;
    facts.log_readable = log.readable;
    events_.volume(facts);
    if (!log.readable) events_.problem("$LogFile cannot be read, so all free clusters are kept: " + log.why);
    for (const ClusterRange& range : log.named) {
      bitmap.for_each(range.lcn, range.clusters, false,
                      [&](std::uint64_t lcn, std::uint64_t clusters) { events_.kept(lcn, clusters); });
    }
    named_by_log_ = std::move(log.named);
    mft_.for_each_batch([&](std::uint64_t first, std::span<std::byte> records) { take_batch(first, records); });
    check_against_index(facts);
    bitmap.for_each(0, mft_.boot().clusters, true,
                    [&](std::uint64_t lcn, std::uint64_t clusters) { events_.allocated(lcn, clusters); });
    events_.done(totals_);
    events_.flush();
  }

 private:
  // A system file, which must be readable.
  const FileRecord& system_file(std::uint64_t number, const char* name) {
    Bytes record(mft_.boot().mft_record_bytes);
    try {
      if (!mft_.read_record(number, record)) throw Error(ErrorCode::malformed, "its MFT record is damaged");
      const RecordHeader header = parse_record_header(record);
      if (!header.in_use || header.base != 0) throw Error(ErrorCode::malformed, "its MFT record is not in use");
      parse_file(mft_, number, record, header, file_);
    } catch (const Error& error) {
      reject_volume(std::string("its ") + name + " cannot be read: " + error.what());
    }
    return file_;
  }

  RunReader system_stream(std::uint64_t number, const char* name) {
    const StreamEntry* stream = system_file(number, name).stream(attribute_data);
    if (stream == nullptr || stream->resident) reject_volume(std::string("its ") + name + " has no data");
    return RunReader(volume_, mft_.boot().cluster_bytes, *stream);
  }

  VolumeFacts find_facts() {
    const BootSector& boot = mft_.boot();
    VolumeFacts facts;
    facts.serial = boot.serial;
    facts.cluster_bytes = boot.cluster_bytes;
    facts.mft_record_bytes = boot.mft_record_bytes;
    facts.clusters = boot.clusters;
    const FileRecord& volume = system_file(record_of_volume, "$Volume");
    facts.label = to_utf8(utf16_from(volume.volume_name));
    if (volume.volume_information.size() < 12) reject_volume("its $Volume has no version");
    facts.major_version = std::to_integer<std::uint8_t>(volume.volume_information[8]);
    facts.minor_version = std::to_integer<std::uint8_t>(volume.volume_information[9]);
    facts.dirty = (le16(volume.volume_information, 10) & volume_is_dirty) != 0;
    facts.mft_mirror_differs = mirror_differs();
    Ntfs3gVolume mounted(volume_, mft_);
    const auto hiberfile = mounted.hiberfile();
    hiberfile_in_root_ = hiberfile != Ntfs3gVolume::Hiberfile::absent;
    facts.hibernated = hiberfile == Ntfs3gVolume::Hiberfile::asleep;
    facts.shadow_copies = mounted.has_shadow_copies();
    return facts;
  }

  // The first four records, which every mount compares.
  bool mirror_differs() {
    const BootSector& boot = mft_.boot();
    Bytes original(boot.mft_record_bytes), mirrored(boot.mft_record_bytes);
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(4, mft_.records()); ++i) {
      const bool whole = mft_.read_record(i, original);
      const std::uint64_t at = boot.mft_mirror_lcn * boot.cluster_bytes + i * boot.mft_record_bytes;
      if (!range_fits(at, mirrored.size(), volume_.size_bytes())) return true;
      volume_.read(at, mirrored);
      if (apply_fixups(mirrored, "FILE") != whole) return true;
      if (whole && original != mirrored) return true;
    }
    return false;
  }

  LogFindings read_log() {
    LogFindings findings;
    RunReader log = system_stream(record_of_log, "$LogFile");
    Bytes bytes(static_cast<std::size_t>(std::min<std::uint64_t>(log.size_bytes(), log_restart_bytes)));
    log.read(0, bytes);
    if (log_cleanly_closed(bytes)) return findings;
    if (log.size_bytes() > log_bytes_max) {
      findings.cleanly_closed = findings.readable = false;
      findings.why = "it is larger than " + std::to_string(log_bytes_max >> 20) + " MiB";
      return findings;
    }
    bytes.resize(static_cast<std::size_t>(log.size_bytes()));
    log.read(0, bytes);
    return examine_log(bytes, {mft_.boot().cluster_bytes, mft_.boot().mft_record_bytes, mft_.boot().clusters});
  }

  void take_batch(std::uint64_t first, std::span<std::byte> records) {
    const std::size_t record_bytes = mft_.boot().mft_record_bytes;
    for (std::size_t i = 0; i < records.size() / record_bytes; ++i) {
      take_record(first + i, records.subspan(i * record_bytes, record_bytes));
    }
  }

  void take_record(std::uint64_t number, std::span<std::byte> record) {
    file_.names.clear();
    try {
      if (!apply_fixups(record, "FILE")) {
        if (!mft_.marked_in_use(number)) return;
        throw Error(ErrorCode::malformed, "the record is damaged");
      }
      const RecordHeader header = parse_record_header(record);
      if (!header.in_use || header.base != 0) return;
      parse_file(mft_, number, record, header, file_);
      give_names();
      give_streams();
    } catch (const Error& error) {
      ++totals_.unreadable_records;
      // What names were found are told, so that a restore can name what it cannot have.
      std::string name = "without a name";
      if (!file_.names.empty()) name = "'" + to_utf8(file_.names.front().name) + "'";
      give_names();
      events_.problem("MFT record " + std::to_string(number) + " (" + name + ") cannot be read, its clusters count as " +
                      "metadata: " + error.what());
    }
  }

  void give_names() {
    const std::uint64_t number = mft_record_number(file_.reference);
    NameEntry entry;
    entry.record = file_.reference;
    entry.is_directory = file_.directory;
    entry.attributes = file_.attributes;
    entry.reparse_tag = file_.reparse_tag;
    entry.data_bytes = file_.data_bytes;
    entry.times = file_.times;
    for (FileLink& link : file_.names) {
      entry.parent = link.parent;
      entry.name = link.name;
      entry.is_short_name = link.name_space == 2;
      events_.file(entry);
      note_special(link);
    }
    if (number >= first_user_record && !file_.names.empty() && !in_system_directory(file_.names.front())) {
      ++(file_.directory ? totals_.directories : totals_.files);
    }
  }

  // $Extend's: nobody's files.
  static bool in_system_directory(const FileLink& link) {
    const std::uint64_t parent = mft_record_number(link.parent);
    return parent < first_user_record && parent != root_directory_record;
  }

  void note_special(const FileLink& link) {
    if (!hiberfile_seen_ && mft_record_number(link.parent) == root_directory_record &&
        excludable_name(link.name) == Excludable::hiberfile) {
      hiberfile_seen_ = true;
    }
    if (!shadow_store_seen_ && is_shadow_store_name(link.name)) shadow_store_seen_ = true;
  }

  void give_streams() {
    const Excludable excludable = excludable_file(file_);
    for (StreamEntry& stream : file_.streams) {
      for (const StreamRun& run : stream.runs) {
        if (run.lcn != StreamRun::run_hole) totals_.overlapping_clusters += claims_.claim(run.lcn, run.clusters);
      }
      event_.record = file_.reference;
      const bool is_content = stream.attribute_type == attribute_data && stream.name.empty();
      event_.excludable = is_content ? static_cast<std::uint8_t>(excludable) : 0;
      if (event_.excludable != 0) keep_what_the_log_names(stream);
      event_.stream = std::move(stream);
      events_.stream(event_);
    }
  }

  // A pagefile's record may be older than the log: a replay can have given its clusters to another file, whose data is
  // there already. $Bitmap calls them allocated before and after.
  void keep_what_the_log_names(const StreamEntry& stream) {
    for (const StreamRun& run : stream.runs) {
      if (run.lcn == StreamRun::run_hole) continue;
      const std::uint64_t run_end = run.lcn + run.clusters;
      const auto ends_behind = [](std::uint64_t lcn, const ClusterRange& r) { return lcn < r.lcn + r.clusters; };
      auto named = std::upper_bound(named_by_log_.begin(), named_by_log_.end(), run.lcn, ends_behind);
      for (; named != named_by_log_.end() && named->lcn < run_end; ++named) {
        const std::uint64_t begin = std::max(run.lcn, named->lcn);
        events_.kept(begin, std::min(run_end, named->lcn + named->clusters) - begin);
      }
    }
  }

  // The facts came from the directories; if the records tell another story the directories are damaged, and what
  // may be left out is not known.
  void check_against_index(const VolumeFacts& facts) {
    if (hiberfile_seen_ && !hiberfile_in_root_) {
      reject_volume("a hibernation file is in its $MFT that its root directory does not show");
    }
    if (shadow_store_seen_ && !facts.shadow_copies) {
      reject_volume("shadow copies are in its $MFT that its directories do not show");
    }
  }

  VolumeReader& volume_;
  EventWriter& events_;
  Mft mft_;
  ClusterClaims claims_;
  FileRecord file_;
  StreamEvent event_;
  VolumeTotals totals_;
  std::vector<ClusterRange> named_by_log_;  // ascending, none touching the next
  bool hiberfile_in_root_ = false;
  bool hiberfile_seen_ = false;
  bool shadow_store_seen_ = false;
};

}  // namespace

void crack_ntfs(VolumeReader& volume, EventWriter& events) { VolumeCracker(volume, events).crack(); }

}  // namespace vmferry::crack
