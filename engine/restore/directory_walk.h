// walk_directory: everything below a directory of a file index, each directory once, however the guest linked them.
// Short names and NTFS's own metadata files are left out. Directories are read many at a time, so that a walk costs as many
// round trips as the tree is deep. Of one directory all names come together, in key order, and before what is below them.
// RecordSet: which MFT records were seen; its memory follows the number of records seen.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>

#include "engine/restore/volume_index.h"
#include "protocol/file_index.h"

namespace vmferry::restore {

inline constexpr std::size_t directory_depth_max = 1024;

class RecordSet {
 public:
  bool insert(MftReference record);  // false where it was there already; sequence numbers do not count

 private:
  std::unordered_map<std::uint64_t, std::array<std::uint64_t, 8>> pages_;
};

// A file that NTFS keeps for itself ($MFT, $Extend, ...), not the root.
bool is_metadata_file(MftReference record);

struct DirectoryVisitor {
  // `place` is what the visitor named the directory that holds the entry. For a directory: the place to go down to,
  // nullopt to stay out of it. Not asked for directories that `refused` is told of.
  std::function<std::optional<std::string>(const std::string& place, const NameEntry& entry)> visit;
  // A directory that was visited before (it contains itself, or has two parents), or that lies too deep.
  enum class Refusal { seen_before, too_deep };
  std::function<void(const std::string& place, const NameEntry& entry, Refusal why)> refused;
};

void walk_directory(VolumeIndex& index, MftReference directory, const std::string& place, bool recursive,
                    const DirectoryVisitor& visitor);

}  // namespace vmferry::restore
