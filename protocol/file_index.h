// File index: the files of one volume at one restore point; a tree with two kinds of keys:
//   'N' parent's record number (6 bytes BE), its sequence (2 bytes BE), name key -> NameEntry: one per link of a file
//   'R' record number (8 bytes BE), part (2 bytes BE) -> RecordEntry: a file's streams and where they lie
// The name key is the name upcased with upcase_simple, as UTF-16 big-endian, then 0x0000, then the exact name as
// UTF-16LE: so lookups are case-insensitive, and names that differ only by case are still two entries. Sorted: a
// directory's names lie together.
// docs/format/file-index.md has the encoding with worked hex.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/tree.h"

namespace vmferry {

using MftReference = std::uint64_t;  // low 48 bits: record number; high 16: sequence
inline constexpr std::uint64_t mft_record_number(MftReference reference) { return reference & 0xffffffffffffULL; }
inline constexpr std::uint64_t root_directory_record = 5;
// A reparse tag with it is a link: what it stands for is elsewhere.
inline constexpr std::uint32_t tag_is_name_surrogate = 0x20000000;

// Windows FILETIME: 100 ns since 1601-01-01 UTC.
struct NtfsTimes {
  std::uint64_t created = 0, modified = 0, mft_changed = 0, accessed = 0;
  bool operator==(const NtfsTimes&) const = default;
};

struct NameEntry {
  MftReference parent = 0;
  MftReference record = 0;
  std::u16string name;          // as NTFS has it: may hold '/', '..', unpaired surrogates: never trust it as a path
  bool is_directory = false;
  bool is_short_name = false;   // an 8.3 alias of a long name in the same directory
  std::uint32_t attributes = 0;  // FILE_ATTRIBUTE_*
  std::uint32_t reparse_tag = 0;
  std::uint64_t data_bytes = 0;  // size of the unnamed $DATA stream
  NtfsTimes times;               // from $STANDARD_INFORMATION
  bool operator==(const NameEntry&) const = default;
};

// Where a piece of a stream lies, in clusters of the volume. lcn == run_hole: nothing is stored there.
struct StreamRun {
  static constexpr std::uint64_t run_hole = ~std::uint64_t{0};
  std::uint64_t lcn = 0;
  std::uint64_t clusters = 0;
  bool operator==(const StreamRun&) const = default;
};

struct StreamEntry {
  std::uint32_t attribute_type = 0;  // 0x80 $DATA, 0xa0 $INDEX_ALLOCATION, 0xb0 $BITMAP, ...
  std::u16string name;               // of the attribute; empty for the unnamed one
  std::uint16_t flags = 0;           // ATTR_COMPRESSED 0x0001, ATTR_ENCRYPTED 0x4000, ATTR_SPARSE 0x8000
  bool resident = false;             // then it has no runs: its bytes lie in $MFT
  std::uint64_t data_bytes = 0;
  std::uint64_t initialized_bytes = 0;
  std::vector<StreamRun> runs;       // in VCN order, from VCN 0, without gaps
  bool operator==(const StreamEntry&) const = default;
};

struct RecordEntry {
  MftReference record = 0;
  std::uint16_t links = 0;
  std::vector<StreamEntry> streams;
  // A file whose runs do not fit one entry (limits::tree_value_max) continues under 'R' record part 1, 2, ...
  std::uint16_t part = 0;
  bool more_parts = false;
  bool continues = false;  // the first stream goes on with the runs of the last one of the part before
  bool operator==(const RecordEntry&) const = default;
};

Bytes name_key(MftReference parent, std::u16string_view upcased, std::u16string_view exact);
bool is_name_key(ByteView key);
Bytes name_prefix(MftReference parent);                                   // every name of a directory begins so
Bytes name_prefix(MftReference parent, std::u16string_view upcased);      // every name that is equal but for case
Bytes record_key(MftReference record, std::uint16_t part = 0);
Bytes encode_name(const NameEntry& entry);
bool is_root_itself(const NameEntry& entry);  // the root's own name, ".", in itself
NameEntry decode_name(ByteView key, ByteView value);
Bytes encode_record(const RecordEntry& entry);
RecordEntry decode_record(ByteView key, ByteView value);
// Splits a record into entries that fit; most give one. In key order. Throws Error{unsupported} past 65536 parts.
std::vector<RecordEntry> split_record(RecordEntry whole);

// FileIndexReader: lookups in a file index. One thread.
class FileIndexReader {
 public:
  FileIndexReader(TreeRoot root, ChunkSource& source);

  // Case-insensitive (by upcase_simple); an exact match wins over one that differs by case.
  std::optional<NameEntry> find(MftReference directory, std::u16string_view name);
  // "a/b/c" or "a\\b\\c", from the root; "" is the root itself. nullopt where it does not exist.
  std::optional<NameEntry> find_path(std::string_view utf8_path);
  // All parts joined.
  std::optional<RecordEntry> record(MftReference record);

 private:
  std::unique_ptr<TreeCursor> cursor_;  // of find and record: keeps the path's nodes between lookups
};

// The simple case mapping used by name keys: what the $UpCase of libntfs-3g's mkntfs does (that of Windows Vista and
// later), a fixed table of ours, the same on every host and part of the format.
std::u16string upcase_simple(std::u16string_view name);
// WTF-8: unpaired surrogates survive the round trip.
std::string to_utf8(std::u16string_view name);
std::optional<std::u16string> to_utf16(std::string_view utf8);

}  // namespace vmferry
