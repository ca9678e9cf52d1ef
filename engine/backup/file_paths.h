// FilePaths: paths of some files of one volume, found in one walk over its file index. Say which with want(), then
// look(), then ask for path(). Directories are kept in memory, up to a bound. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/backup/layout.h"

namespace vmferry::backup {

class FilePaths {
 public:
  explicit FilePaths(std::size_t directories_bytes_max) : directories_bytes_max_(directories_bytes_max) {}

  void want(MftReference record) { wanted_[record]; }
  void look(DiskLayout& layout, std::uint32_t volume);

  // "/Users/ann/a.txt", the first link's long name; "/[...]/a.txt" where it is very long; "[lost]/a.txt" where its
  // directories do not lead to the root; "[file 1234]" where it has no name or its directories are too many. A '/' in a
  // name is "\x2f".
  std::string path(MftReference record) const;

 private:
  struct Name {
    MftReference parent = 0;
    std::string text;  // empty: not seen yet
    bool is_short = false;
  };
  struct Directory {
    MftReference record, parent;
    std::size_t name_at;
    std::uint32_t name_bytes;
  };

  void keep(const NameEntry& entry);
  void keep_directory(const NameEntry& entry, std::string_view name);
  const Directory* directory(MftReference record) const;
  std::string_view name_of(const Directory& directory) const {
    return std::string_view(names_).substr(directory.name_at, directory.name_bytes);
  }

  const std::size_t directories_bytes_max_;
  bool full_ = false;
  std::unordered_map<MftReference, Name> wanted_;
  std::vector<Directory> directories_;  // after look() in the order of their records
  std::string names_;
};

}  // namespace vmferry::backup
