#include <chrono>
#include <sys/stat.h>

#include "engine/restore/directory_walk.h"
#include "engine/restore/file_restore.h"
#include "engine/restore/output_names.h"
#include "engine/restore/restore_disk.h"
#include "engine/restore/volume_index.h"
#include "protocol/error.h"

namespace vmferry::restore {
namespace {

constexpr std::uint32_t attribute_sparse = 0x200;

class TreeRestore {
 public:
  TreeRestore(const RestorePoint& point, const PathInPoint& where, const std::filesystem::path& output,
              const RestoreOptions& options, target::TargetSession& session, RestoreEvents& events,
              const std::atomic<bool>& cancel)
      : row_(pick_volume(point, where.volume)),
        output_(output),
        options_(options),
        events_(events),
        cancel_(cancel),
        log_(result_, events),
        index_(row_, session.chunks(), node_cache_bytes),
        ranges_(row_),
        content_(row_, session, options),
        entry_(index_.resolve(where.path)) {}

  RestoreResult run() {
    events_.phase("looking for the files");
    const std::string name = output_name();
    std::error_code error;
    std::filesystem::create_directories(output_, error);
    if (error) throw system_error(error.value(), "cannot make the output directory", output_.string());
    OutputTree tree(output_);
    const bool is_there = tree.exists("", name);
    if (is_there && !options_.force)
      throw Error(ErrorCode::exists, "the output is there already", (output_ / name).string(),
                  "--force replaces files and restores into directories");
    expect_space(output_, count());
    events_.phase("restoring files");
    FileRestore files({index_, content_, ranges_, tree, log_, result_, events_, options_, cancel_, total_bytes_});
    if (!entry_.is_directory) {
      files.add(entry_, "", name);
      files.flush();
    } else if (!files.is_link(entry_, name)) {
      restore_directory(files, tree, name, is_there);
    }
    log_.finish();
    if (tree.exists("", name)) result_.outputs.push_back(output_ / name);
    return std::move(result_);
  }

 private:
  std::string output_name() const {
    if (mft_record_number(entry_.record) == root_directory_record)
      return why_bad_name(row_.volume->label) ? row_.name : row_.volume->label;
    const std::string name = to_utf8(entry_.name);
    if (const std::optional<std::string> why = why_bad_name(name))
      throw Error(ErrorCode::unsupported, "no file can have this name here", printable(name), *why);
    return name;
  }

  // The bytes that the files need, each once; where they are links to each other, too.
  std::uint64_t count() {
    RecordSet seen;
    std::uint64_t needed = 0;
    const auto add = [&](const NameEntry& entry) {
      if (__builtin_add_overflow(total_bytes_, entry.data_bytes, &total_bytes_)) total_bytes_ = ~std::uint64_t{0};
      if ((entry.attributes & attribute_sparse) != 0 || !seen.insert(entry.record)) return;
      if (__builtin_add_overflow(needed, entry.data_bytes, &needed)) needed = ~std::uint64_t{0};
    };
    if (!entry_.is_directory) {
      add(entry_);
      return needed;
    }
    DirectoryVisitor visitor;
    visitor.visit = [&](const std::string&, const NameEntry& entry) -> std::optional<std::string> {
      if (cancel_) throw Error(ErrorCode::cancelled, "the restore was stopped");
      if (entry.is_directory) return "";
      add(entry);
      return std::nullopt;
    };
    visitor.refused = [](const std::string&, const NameEntry&, DirectoryVisitor::Refusal) {};
    walk_directory(index_, entry_.record, "", true, visitor);
    return needed;
  }

  void restore_directory(FileRestore& files, OutputTree& tree, const std::string& name, bool is_there) {
    const std::string top = is_there ? name : name.substr(0, temporary_stem_max) + ".partial";
    tree.make_directory("", top, options_.force);
    files.add_directory(entry_, "", top);
    DirectoryVisitor visitor;
    visitor.visit = [&](const std::string& place, const NameEntry& entry) { return visit(files, tree, place, entry); };
    visitor.refused = [&](const std::string& place, const NameEntry& entry, DirectoryVisitor::Refusal why) {
      const std::string path = printable(joined_place(place, to_utf8(entry.name)));
      if (why == DirectoryVisitor::Refusal::seen_before)
        log_.warn({"directory_loop", path, "this directory is in two places, or in itself: it was restored once only"});
      else
        log_.warn({"too_deep", path, "this directory lies too deep: nothing below it was restored"});
    };
    walk_directory(index_, entry_.record, top, true, visitor);
    files.finish();
    if (top != name) tree.rename("", top, name, false);
  }

  std::optional<std::string> visit(FileRestore& files, OutputTree& tree, const std::string& place,
                                   const NameEntry& entry) {
    if (cancel_) throw Error(ErrorCode::cancelled, "the restore was stopped", place);
    const std::string name = to_utf8(entry.name);
    if (const std::optional<std::string> why = why_bad_name(name)) {
      log_.warn({"bad_name", printable(joined_place(place, name)),
                 "no file can have this name here: " + *why +
                     (entry.is_directory ? "; nothing below it was restored" : "; it was not restored")});
      return std::nullopt;
    }
    if (!entry.is_directory) {
      files.add(entry, place, name);
      return std::nullopt;
    }
    if (files.is_link(entry, joined_place(place, name))) return std::nullopt;
    try {
      tree.make_directory(place, name, options_.force);
    } catch (const Error& error) {
      files.fail(joined_place(place, name), error);
      return std::nullopt;
    }
    files.add_directory(entry, place, name);
    return joined_place(place, name);
  }

  const VolumeRow row_;
  const std::filesystem::path& output_;
  const RestoreOptions& options_;
  RestoreEvents& events_;
  const std::atomic<bool>& cancel_;
  RestoreResult result_;
  RestoreLog log_;
  VolumeIndex index_;
  VolumeRanges ranges_;
  VolumeContent content_;
  const NameEntry entry_;
  std::uint64_t total_bytes_ = 0;
};

}  // namespace

RestoreResult restore_files(const RestorePoint& point, const PathInPoint& where, const std::filesystem::path& output,
                            const RestoreOptions& options, target::TargetSession& session, RestoreEvents& events,
                            const std::atomic<bool>& cancel) {
  const auto begin = std::chrono::steady_clock::now();
  const std::uint64_t received = session.counts().received_bytes;
  RestoreResult result = TreeRestore(point, where, output, options, session, events, cancel).run();
  result.received_bytes = session.counts().received_bytes - received;
  result.elapsed_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count());
  return result;
}

}  // namespace vmferry::restore
