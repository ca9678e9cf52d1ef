#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/disk/vmx.h"
#include "engine/restore/chunk_cache.h"
#include "engine/restore/output_names.h"
#include "engine/restore/output_tree.h"
#include "engine/restore/restore_disk.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::restore {
namespace {

bool ends_with_fold(const std::string& name, std::string_view suffix) {
  return name.size() >= suffix.size() &&
         std::equal(suffix.begin(), suffix.end(), name.end() - static_cast<std::ptrdiff_t>(suffix.size()),
                    [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b); });
}

disk::OutputFormat format_for(const PointDisk& disk, const DiskRestoreOptions& options) {
  return options.format ? *options.format : disk::same_format(description_of(disk));
}

// That a restore takes beyond what an earlier attempt of it took.
std::uint64_t space_for(const PointDisk& disk, disk::OutputFormat format, const std::filesystem::path& output,
                        const DiskRestoreOptions& options) {
  // How well a stream compresses is known in the end only; zlib rarely does better than this.
  const std::uint64_t needed = format == disk::OutputFormat::stream ? disk.bytes.data / 4 : disk.bytes.data;
  struct stat facts {};
  if (!options.resume) return needed;
  if (!options.force && lstat(output.c_str(), &facts) == 0) return 0;  // it is only compared
  return needed - std::min(needed, disk::partial_bytes(output, format));
}

class MachineRestore {
 public:
  MachineRestore(const RestorePoint& point, const std::filesystem::path& output, const DiskRestoreOptions& options,
                 target::TargetSession& session, RestoreEvents& events, const std::atomic<bool>& cancel)
      : point_(point), output_(output), options_(options), session_(session), events_(events), cancel_(cancel) {}

  RestoreResult run() {
    const auto begin = std::chrono::steady_clock::now();
    const std::uint64_t received = session_.counts().received_bytes;
    if (options_.disk || !point_.is_vmx) {
      restore_one(one_disk());
    } else {
      restore_directory();
    }
    result_.received_bytes = session_.counts().received_bytes - received;
    result_.elapsed_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count());
    return std::move(result_);
  }

 private:
  const PointDisk& one_disk() const {
    std::string all;
    for (const PointDisk& disk : point_.disks) {
      if (!options_.disk || disk.key == *options_.disk) return disk;
      all += (all.empty() ? "" : ", ") + disk.key;
    }
    throw Error(ErrorCode::not_found, "the restore point has no such disk", options_.disk.value_or("any"),
                all.empty() ? "it has none" : "it has " + all);
  }

  void expect_free(const std::filesystem::path& path) const {
    struct stat facts {};
    if (lstat(path.c_str(), &facts) != 0) return;
    if (!S_ISREG(facts.st_mode))
      throw Error(ErrorCode::exists, "the output is there already, and is no file", path.string(),
                  "give the name of the file to write");
    if (options_.force) return refuse_disk_in_use(path);
    if (!options_.resume)
      throw Error(ErrorCode::exists, "the output is there already", path.string(), "--force overwrites it");
  }

  void restore_one(const PointDisk& disk) {
    const disk::OutputFormat format = format_for(disk, options_);
    expect_free(output_);
    expect_space(output_.parent_path(), space_for(disk, format, output_, options_));
    DiskProgress progress{0, disk.bytes.data};
    events_.phase("restoring the disk");
    restore_disk(disk, output_, format, options_, session_, events_, cancel_, progress, result_);
    events_.progress(progress.done_bytes, progress.total_bytes);
  }

  // --- a directory with all of the machine

  struct NamedDisk {
    const PointDisk* disk;
    disk::OutputFormat format;
    std::string name;
  };

  void restore_directory() {
    make_directory();
    std::uint64_t space = 0;
    DiskProgress progress;
    for (const PointFile& file : point_.files) space += file.size_bytes;
    for (const PointDisk& disk : point_.disks) {
      disks_.push_back(named(disk));
      space += space_for(disk, disks_.back().format, output_ / disks_.back().name, options_);
      progress.total_bytes += disk.bytes.data;
      expect_free(output_ / disks_.back().name);
    }
    name_files();
    expect_space(output_, space);
    for (const NamedDisk& one : disks_) {
      events_.phase("restoring " + one.disk->key);
      restore_disk(*one.disk, output_ / one.name, one.format, options_, session_, events_, cancel_, progress, result_);
    }
    events_.phase("restoring the configuration");
    // The .vmx comes last: where it is, all is there that it names.
    for (const bool vmx : {false, true})
      for (const auto& [file, name] : files_)
        if (ends_with_fold(file->name, ".vmx") == vmx) restore_file(*file, name);
    events_.progress(progress.total_bytes, progress.total_bytes);
  }

  void make_directory() const {
    struct stat facts {};
    if (stat(output_.c_str(), &facts) != 0) {
      std::error_code error;
      std::filesystem::create_directories(output_, error);
      if (error) throw system_error(error.value(), "cannot make the output directory", output_.string());
      return;
    }
    if (!S_ISDIR(facts.st_mode))
      throw Error(ErrorCode::exists, "the output of a machine is a directory", output_.string(), "a file is there");
    if (!options_.force && !options_.resume && !std::filesystem::is_empty(output_))
      throw Error(ErrorCode::exists, "the output directory is not empty", output_.string(),
                  "give a new one, --resume to go on with an interrupted restore, or --force to write over what is there");
  }

  NamedDisk named(const PointDisk& disk) {
    const disk::OutputFormat format = format_for(disk, options_);
    const std::string_view suffix = format == disk::OutputFormat::raw ? ".raw" : ".vmdk";
    std::string name = last_part(disk.file_name, "disk-" + std::to_string(disks_.size()) + std::string(suffix));
    if (ends_with_fold(name, ".vmdk")) name.resize(name.size() - 5);
    // Room for "-flat.vmdk.partial" and a number behind it.
    if (name.size() > 220 || why_bad_name(name)) name = "disk-" + std::to_string(disks_.size());
    std::string whole = names_.take(name + std::string(suffix));
    // The name of its extent must be free too.
    while (names_.is_taken(flat_name(whole))) whole = names_.take(name + std::string(suffix));
    names_.take(flat_name(whole));
    return {&disk, format, whole};
  }

  static std::string flat_name(const std::string& name) {
    return name.substr(0, std::min(name.rfind('.'), name.size())) + "-flat.vmdk";
  }

  void name_files() {
    for (const PointFile& file : point_.files) {
      // Each disk is written with a descriptor of its own; the source's snapshots are not restored, nor is their list.
      if (ends_with_fold(file.name, ".vmdk") || ends_with_fold(file.name, ".vmsd")) continue;
      const std::string name = last_part(file.name, "file-" + std::to_string(files_.size()));
      files_.emplace_back(&file, names_.take(name));
      struct stat facts {};
      if (lstat((output_ / files_.back().second).c_str(), &facts) == 0 && !S_ISREG(facts.st_mode))
        throw Error(ErrorCode::exists, "the output is there already, and is no file",
                    (output_ / files_.back().second).string());
    }
  }

  // Whether an interrupted restore has written all of this file.
  bool is_finished(const PointFile& file, const std::filesystem::path& path) const {
    if (!options_.resume || options_.force) return false;
    std::error_code missing;
    if (!std::filesystem::is_regular_file(path, missing) || std::filesystem::file_size(path, missing) != file.size_bytes)
      return false;
    std::ifstream in(path, std::ios::binary);
    Bytes content;
    for (std::size_t i = 0; i < file.chunks.size(); ++i) {
      content.resize(file.chunk_lengths.at(i));
      in.read(reinterpret_cast<char*>(content.data()), static_cast<std::streamsize>(content.size()));
      if (!in || chunk_id_of(session_.facts().domain_key, content) != file.chunks[i]) return false;
    }
    return true;
  }

  // A .vmx of an interrupted restore, which is not byte for byte the point's.
  bool is_finished(const std::string& text, const std::filesystem::path& path) const {
    if (!options_.resume || options_.force) return false;
    std::string there;
    std::getline(std::ifstream(path, std::ios::binary), there, '\0');
    return there == text;
  }

  void keep_file(const std::filesystem::path& path, std::uint64_t bytes) {
    result_.outputs.push_back(path);
    result_.reused_bytes += bytes;
    ++result_.files;
  }

  void restore_file(const PointFile& file, const std::string& name) {
    const std::filesystem::path path = output_ / name;
    const bool is_vmx = ends_with_fold(file.name, ".vmx");
    if (!is_vmx && is_finished(file, path)) return keep_file(path, file.size_bytes);
    std::error_code ignored;
    if (options_.resume) std::filesystem::remove(path.string() + ".partial", ignored);
    OutputTree tree(output_);
    OutputFile out = tree.create_file("", name, options_.force);
    std::string text;
    std::uint64_t offset = 0;
    constexpr std::size_t ids_at_once = 64;
    for (std::size_t begin = 0; begin < file.chunks.size(); begin += ids_at_once) {
      if (cancel_) throw Error(ErrorCode::cancelled, "the restore was stopped", file.name);
      const std::span<const ChunkId> ids =
          std::span(file.chunks).subspan(begin, std::min(ids_at_once, file.chunks.size() - begin));
      ChunkCache arrived(ids_at_once * limits::chunk_size_max);
      session_.chunks().get(ids, [&](const ChunkId& id, ByteView content) {
        arrived.insert(id, std::make_shared<const Bytes>(content.begin(), content.end()));
      });
      for (const ChunkId& id : ids) {
        const SharedBytes content = arrived.find(id);
        if (!content) throw Error(ErrorCode::damaged, "a chunk was not given", id.to_string());
        if (is_vmx) {
          text.append(as_text(*content));
          if (text.size() > limits::config_file_bytes_max)
            throw Error(ErrorCode::damaged, "a .vmx file of the restore point is too long", file.name);
        } else {
          out.write(offset, *content);
        }
        offset += content->size();
      }
    }
    if (offset != file.size_bytes)
      throw Error(ErrorCode::damaged, "a file of the restore point has another length than it says", file.name);
    if (is_vmx) {
      text = rewritten(std::move(text));
      if (is_finished(text, path)) {
        out.discard();
        return keep_file(path, text.size());
      }
      out.write(0, as_bytes(text));
      offset = text.size();
    }
    out.set_size(offset);
    out.finish();
    result_.outputs.push_back(path);
    result_.written_bytes += offset;
    ++result_.files;
  }

  // The .vmx names the disks that were written, and no other.
  std::string rewritten(std::string text) {
    disk::Vmx vmx = disk::Vmx::parse(std::move(text));
    for (const disk::VmxDisk& named_there : vmx.disks()) {
      const auto written = std::find_if(disks_.begin(), disks_.end(),
                                        [&](const NamedDisk& one) { return one.disk->key == named_there.key; });
      if (written != disks_.end()) {
        vmx.set(named_there.key + ".fileName", written->name);
        continue;
      }
      vmx.set(named_there.key + ".present", "FALSE");
      warn({"disk_skipped", named_there.key,
            "the backup left out " + named_there.file_name + "; it is switched off in the restored .vmx"});
    }
    for (const auto& [file, name] : files_)
      if (ends_with_fold(file->name, ".nvram")) vmx.set("nvram", name);
    if (std::any_of(disks_.begin(), disks_.end(),
                    [](const NamedDisk& one) { return one.format == disk::OutputFormat::raw; }))
      result_.notes.push_back("the restored .vmx names raw disks, which VMware products do not open");
    return vmx.text();
  }

  void warn(Warning warning) {
    events_.warning(warning);
    result_.warnings.push_back(std::move(warning));
  }

  const RestorePoint& point_;
  const std::filesystem::path& output_;
  const DiskRestoreOptions& options_;
  target::TargetSession& session_;
  RestoreEvents& events_;
  const std::atomic<bool>& cancel_;
  RestoreResult result_;
  UniqueNames names_;
  std::vector<NamedDisk> disks_;
  std::vector<std::pair<const PointFile*, std::string>> files_;
};

}  // namespace

RestoreResult restore_machine(const RestorePoint& point, const std::filesystem::path& output,
                              const DiskRestoreOptions& options, target::TargetSession& session, RestoreEvents& events,
                              const std::atomic<bool>& cancel) {
  return MachineRestore(point, output, options, session, events, cancel).run();
}

}  // namespace vmferry::restore
