// Source: a machine's disks at one instant, and the files beside them. Opening one refuses, in the first second, what
// is being written (Error{refused}, with the sentence that says to take a snapshot). One thread; the disks in it are
// as thread-safe as disk::Disk.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/disk/disk.h"
#include "protocol/point.h"

namespace vmferry::backup {

enum class SourceMode {
  automatic,  // off where nothing holds the disks, frozen where a snapshot's parents can be read, else refused
  off,
  frozen,     // the parents of the newest snapshot
};

struct SourceOptions {
  SourceMode mode = SourceMode::automatic;
  std::vector<std::string> only_disks, skip_disks;  // "scsi0:1"; naming one that is not there is Error{usage}
};

struct SourceDisk {
  std::string key;                       // "scsi0:1"; "disk0" for a bare VMDK
  std::string file_name;                 // as the .vmx names it
  std::unique_ptr<disk::Disk> disk;
};

struct SourceFile {                      // .vmx, .nvram, descriptors, suspend files
  std::string name;
  std::filesystem::path path;
  std::uint64_t size_bytes = 0;
};

class Source {
 public:
  // path: a VMDK, a raw image or a .vmx. Error{unsupported} for a disk that cannot be read, naming the option that
  // leaves it out.
  static Source open(const std::filesystem::path& path, const SourceOptions& options);
  Source(Source&&) noexcept;
  ~Source();

  SourceKind kind() const noexcept { return kind_; }
  bool is_vmx() const noexcept { return is_vmx_; }
  bool suspended() const noexcept { return suspended_; }   // nothing may be left out
  const std::string& default_name() const noexcept { return default_name_; }
  const Uuid& machine_uuid() const noexcept { return machine_uuid_; }  // none where the machine has none
  const std::vector<SourceDisk>& disks() const noexcept { return disks_; }
  const std::vector<SourceFile>& files() const noexcept { return files_; }
  const std::vector<std::string>& notes() const noexcept { return notes_; }

  // Compares every file of every disk with what it was at open. Throws Error{refused} naming those that changed.
  void check_unchanged() const;

 private:
  friend class SourceOpener;
  Source() = default;
  SourceKind kind_ = SourceKind::off;
  bool is_vmx_ = false;
  bool suspended_ = false;
  std::string default_name_;
  Uuid machine_uuid_;
  std::vector<SourceDisk> disks_;
  std::vector<SourceFile> files_;
  std::vector<std::string> notes_;
};

}  // namespace vmferry::backup
