// Descriptor: the text that says what a VMDK is made of: its kind, its identity, its parent, its extents and
// the disk data base ("ddb."). parse_descriptor takes any text and throws Error{malformed, unsupported} for what makes
// no sense as one; unknown lines are left alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/disk/disk.h"

namespace vmferry::disk {

inline constexpr std::uint32_t no_cid = 0xffffffff;

struct ExtentLine {
  enum class Access { read_write, read_only, none };
  Access access = Access::read_write;
  std::uint64_t sectors = 0;
  std::string type;  // upper case: "FLAT", "SPARSE", "ZERO", "VMFS", "VMFSSPARSE", "SESPARSE", "VMFSRDM", ...
  std::string file_name;
  std::uint64_t file_sector = 0;  // where a flat extent begins in its file
};

struct Descriptor {
  std::string text;
  std::string create_type;
  std::uint32_t cid = no_cid;
  std::uint32_t parent_cid = no_cid;
  std::string parent_hint;
  std::vector<ExtentLine> extents;
  std::map<std::string, std::string> ddb;

  bool has_parent() const noexcept { return parent_cid != no_cid; }
};

// `name` is for messages.
Descriptor parse_descriptor(std::string text, const std::string& name);
// Whether a file that begins with `start` is a descriptor.
bool looks_like_descriptor(std::string_view start);

}  // namespace vmferry::disk
