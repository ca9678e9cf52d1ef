// Vmx: a .vmx file's settings. Keys are case-insensitive; the text is kept as it was but for what is set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/uuid.h"

namespace vmferry::disk {

struct VmxDisk {
  std::string key;        // "scsi0:1"
  std::string file_name;  // as written: relative to the .vmx, or absolute
  std::string mode;       // "persistent", "independent-persistent", ...; may be empty
};

class Vmx {
 public:
  static Vmx parse(std::string text);                    // throws Error{malformed}
  static Vmx load(const std::filesystem::path& file);    // bounded by limits::config_file_bytes_max

  std::optional<std::string> get(std::string_view key) const;
  void set(std::string_view key, std::string_view value);  // replaces the line or adds one

  std::string display_name() const;          // empty where there is none
  Uuid bios_uuid() const;                    // uuid.bios; none where there is none
  std::vector<VmxDisk> disks() const;        // present hard disks (not CD-ROMs), by key
  bool suspended() const;                    // checkpoint.vmState names a file
  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

}  // namespace vmferry::disk
