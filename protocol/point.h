// RestorePoint: one machine at one time, everything that a restore needs to begin with. It is an object of its own
// in the store (points/), immutable, self-describing: docs/format/point.md. Encoded as a header (magic "VFP1",
// version, length), a protobuf message (protocol/point.proto) and a checksum.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protocol/byte_range.h"
#include "protocol/bytes.h"
#include "protocol/tree.h"
#include "protocol/uuid.h"

namespace vmferry {

enum class SourceKind : std::uint8_t { off = 0, frozen = 1 };

struct Warning {
  std::string code;     // "volume_not_cracked", "partition_table", "log_unreadable", ...: stable, for programs
  std::string object;   // "scsi0:0.2", a path
  std::string message;  // a sentence
  bool operator==(const Warning&) const = default;
};

// How many bytes of a disk or volume went which way. They add up to its size.
struct KindBytes {
  std::uint64_t data = 0;      // sent or known: file data and metadata (zeros that were read count here)
  std::uint64_t free = 0;      // free clusters, left out
  std::uint64_t excluded = 0;  // pagefile, swapfile, hiberfil, left out
  std::uint64_t hole = 0;      // never written
  bool operator==(const KindBytes&) const = default;
};

struct PointVolume {
  std::uint32_t partition = 0;   // its number; the volume's stable name is DISKINDEX.PARTITION ("0.2")
  ByteRange range;               // within the disk
  std::string type;              // the partition's type, as disk::Partition has it
  std::string file_system;       // "ntfs" where cracked; else what its signature says, or ""
  bool cracked = false;          // has a file index
  std::string label;
  std::uint64_t serial = 0;
  std::uint32_t cluster_bytes = 0;
  std::uint32_t mft_record_bytes = 0;
  std::uint64_t files = 0, directories = 0;
  TreeRoot file_index;           // where cracked
  KindBytes bytes;
  std::vector<std::string> flags;  // "dirty", "not_cleanly_closed", "hibernated", "shadow_copies", "free_kept", ...
  bool operator==(const PointVolume&) const = default;
};

struct PointDisk {
  std::string key;               // "scsi0:1" in the .vmx; "disk0" for a bare VMDK
  std::string file_name;         // as the .vmx names it, or the file's own name
  Uuid uuid;
  bool uuid_made_up = false;     // the disk itself carries none
  std::uint64_t size_bytes = 0;
  std::string format;            // createType, or "raw"
  std::string adapter_type;
  std::uint32_t cylinders = 0, heads = 0, sectors = 0;
  std::string descriptor;
  std::map<std::string, std::string> ddb;
  TreeRoot image_map;
  std::vector<PointVolume> volumes;  // every partition, by offset
  KindBytes bytes;
  bool operator==(const PointDisk&) const = default;
};

struct PointFile {               // .vmx, .nvram, descriptors, suspend files: whole, as chunks
  std::string name;              // last part of its path
  std::uint64_t size_bytes = 0;
  std::vector<ChunkId> chunks;   // in order
  std::vector<std::uint32_t> chunk_lengths;
  bool operator==(const PointFile&) const = default;
};

// What the backup did; the numbers of `backup --json`.
struct BackupReport {
  std::uint64_t disk_bytes = 0, read_bytes = 0;
  std::uint64_t files = 0, chunks = 0, new_chunks = 0, new_bytes = 0;
  std::uint64_t sent_bytes = 0, received_bytes = 0, stored_bytes = 0;  // as far as known before the commit message
  std::uint64_t elapsed_ms = 0;
  std::uint64_t delta_chunks = 0, delta_bytes = 0;  // of the new ones, those that went as deltas
  std::uint64_t delta_wire_bytes = 0;               // and what they took on the wire
  std::uint64_t node_wire_bytes = 0;                // what metadata trees took
  std::uint64_t whole_again_chunks = 0;             // deltas that the target could not use
  std::vector<Warning> warnings;
  std::vector<std::string> notes;
  bool operator==(const BackupReport&) const = default;
};

struct RestorePoint {
  Uuid uuid;                     // its identity: `id:` and its first hex digits
  std::uint64_t number = 0;      // of this machine, given by the target, never reused
  Uuid machine_uuid;
  bool machine_uuid_made_up = false;
  std::string machine_name;
  Uuid client_uuid;
  std::string client_name;       // its host name, for people
  Uuid domain_uuid;
  SourceKind source = SourceKind::off;
  std::int64_t taken_ms = 0;     // Unix ms, the controller's clock when the source was opened
  std::int64_t arrived_ms = 0;   // Unix ms, the target's clock at commit: retention, --at and --max-age go by it
  bool exact = false;
  bool is_vmx = false;           // a .vmx machine: a restore makes a directory
  std::vector<PointDisk> disks;
  std::vector<PointFile> files;
  BackupReport report;
  std::string software;          // "vmferry 0.1.0"
  bool operator==(const RestorePoint&) const = default;
};

// Deterministic. Throws std::logic_error past limits::point_bytes_max, and Error{malformed} for a point that
// decode_point would refuse.
Bytes encode_point(const RestorePoint& point);
// Throws Error{malformed} (bad content), Error{damaged} (checksum), Error{version} (written by a newer vmferry).
RestorePoint decode_point(ByteView bytes);

// A short form for lists: what `points` shows without opening every point.
struct PointSummary {
  Uuid uuid;
  std::uint64_t number = 0;
  Uuid machine_uuid, client_uuid;
  std::string machine_name, client_name;
  SourceKind source = SourceKind::off;
  std::int64_t taken_ms = 0, arrived_ms = 0;
  std::uint64_t disk_bytes = 0, data_bytes = 0, new_bytes = 0, stored_bytes = 0;
  std::uint64_t warnings = 0;
  bool operator==(const PointSummary&) const = default;
};
PointSummary summarize(const RestorePoint& point);

// NAME[@POINT]: "web1", "web1@12", "web1@id:3fa9", "web1@latest"; CLIENT/NAME where two clients use one name
// (client: its UUID, a prefix of it, or its host name).
struct PointName {
  std::string client;            // empty: any
  std::string machine;
  enum class Which { latest, number, id_prefix, not_after } which = Which::latest;
  std::uint64_t number = 0;
  std::string id_prefix;         // lower-case hex, no dashes
  std::int64_t not_after_ms = 0;  // --at
};
PointName parse_point_name(std::string_view text);  // throws Error{usage}
// Picks from summaries of any machines (pure). Prefers own_client's machine of that name, else the only one there
// is; throws Error{not_found} or Error{usage} (ambiguous: says how to name each).
PointSummary pick_point(const PointName& name, const std::vector<PointSummary>& all, const Uuid& own_client);

// True for a name that may be a machine's or client's: 1..255 bytes of UTF-8 without control characters, '/',
// '@', ':' or '\\', not "." or "..", no leading '-'.
bool valid_machine_name(std::string_view name);

}  // namespace vmferry
