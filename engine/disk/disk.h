// Disk: a virtual disk (descriptor, extents and parents) as one space of bytes [0, size), read-only.
// Every number in its files is hostile. Disk::open_* validate everything that is cheap to validate before they
// return; what comes later (grain tables) is checked as it is read. A read gives the disk's bytes or throws:
// never other bytes. read() and extent_at() are thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/byte_range.h"
#include "protocol/bytes.h"
#include "protocol/uuid.h"

namespace vmferry::disk {

struct Geometry {
  std::uint32_t cylinders = 0, heads = 0, sectors = 0;
  bool operator==(const Geometry&) const = default;
};

// What a restore needs to make the same disk again.
struct DiskDescription {
  std::string format;        // the descriptor's createType: "monolithicSparse", "vmfs", "seSparse", ...; or "raw"
  std::string file_name;     // the last part of the path that was opened
  Uuid uuid;                 // ddb.uuid (or ddb.uuid.image); none where there is none
  std::uint32_t cid = 0;     // CID of the newest link; 0xffffffff where there is none
  std::string adapter_type;  // ddb.adapterType: "ide", "lsilogic", "buslogic", "legacyESX"; may be empty
  Geometry geometry;         // ddb.geometry.*
  std::map<std::string, std::string> ddb;  // all "ddb." lines of the newest link, as they were
  std::string descriptor;    // the newest link's descriptor text; empty for raw and COWD without one
};

// One file that the disk is read from: its state when it was opened, to compare at the end of a backup.
struct DiskFile {
  std::filesystem::path path;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  std::uint64_t inode = 0;
  std::uint64_t device = 0;
  bool operator==(const DiskFile&) const = default;
};

struct DiskExtent {
  ByteRange range;
  bool hole = false;  // reads as zeros, and no link of the chain has written it
};

class Disk {
 public:
  virtual ~Disk() = default;
  virtual std::uint64_t size_bytes() const noexcept = 0;
  // Fills `into` with the bytes at `offset`; throws Error{malformed} past the end, on a bad grain table, on a
  // file that is too short; Error{failed} on an I/O error.
  virtual void read(std::uint64_t offset, std::span<std::byte> into) const = 0;
  // The extent that holds `offset`, clipped to begin there, as long as it is cheap to say (at least to the end
  // of its grain). offset < size_bytes().
  virtual DiskExtent extent_at(std::uint64_t offset) const = 0;
  virtual const DiskDescription& description() const noexcept = 0;
  // Every file of the chain: descriptors, extents, parents.
  virtual const std::vector<DiskFile>& files() const noexcept = 0;
};

struct OpenOptions {
  // frozen: the newest link of the chain is left out (it is the snapshot's delta, being written): the disk is
  // what its parents say. Error{refused} where the disk has no parent.
  bool parents_only = false;
};

// Opens a VMDK (descriptor or any extent kind that carries its own descriptor) or a raw image, by what the file
// says, not by its name; the parents too, each checked by CID (Error{malformed} on a mismatch, naming both).
std::unique_ptr<Disk> open_disk(const std::filesystem::path& path, const OpenOptions& options = {});

// Compares the files with what they were at open. Returns the paths of those that changed or went away.
std::vector<std::filesystem::path> changed_files(const std::vector<DiskFile>& files);

// A running hypervisor's locks beside these files (NAME.lck folders with content, .lck files, advisory locks
// that another process holds). One sentence each, empty where the disk is free.
std::vector<std::string> locks_on(const std::vector<DiskFile>& files);

}  // namespace vmferry::disk
