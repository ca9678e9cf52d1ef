// FileRecord: a file as its base record and extension records describe it, pieces of streams joined.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/crack/ntfs/record.h"
#include "protocol/file_index.h"

namespace vmferry::crack {

class Mft;

struct FileLink {
  MftReference parent = 0;
  std::u16string name;
  std::uint8_t name_space = 0;  // 0 POSIX, 1 Win32, 2 DOS, 3 both
  std::uint32_t attributes = 0;
  std::uint32_t reparse_tag = 0;
};

struct FileRecord {
  MftReference reference = 0;
  bool directory = false;
  std::uint16_t links = 0;
  NtfsTimes times;
  std::uint32_t attributes = 0;
  std::uint32_t reparse_tag = 0;
  std::uint64_t data_bytes = 0;      // of the unnamed $DATA
  bool has_security_descriptor = false;
  std::uint32_t security_id = 0;     // into $Secure; 0 before NTFS 3.0
  std::vector<FileLink> names;
  std::vector<StreamEntry> streams;  // all non-resident attributes, and resident $DATA
  Bytes volume_name;                 // resident values that only $Volume has
  Bytes volume_information;
  Bytes resident_bitmap;             // of $MFT, where it is resident

  const StreamEntry* stream(std::uint32_t type, std::u16string_view name = {}) const;
};

// Parses what belongs to a base record. `record` has its fixups applied; `file` is overwritten (its vectors keep
// their memory). Throws Error{malformed} where a part cannot be read: what `file` holds by then is right, but its
// streams must not be used. `mft` reads extension records and long attribute lists.
void parse_file(Mft& mft, std::uint64_t number, ByteView record, const RecordHeader& header, FileRecord& file);

}  // namespace vmferry::crack
