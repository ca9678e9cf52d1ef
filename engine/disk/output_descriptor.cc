#include "engine/disk/output_descriptor.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <string_view>

#include "protocol/error.h"

namespace vmferry::disk {
namespace {

bool fits_in_quotes(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c != '"' && static_cast<unsigned char>(c) >= 0x20; });
}

bool is_key(std::string_view text) {
  return text.starts_with("ddb.") && std::ranges::all_of(text, [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
         });
}

std::string new_cid() {
  for (;;) {
    const std::string hex = to_hex(Uuid::random().view().first(4));
    if (hex != "ffffffff" && hex != "fffffffe" && hex != "00000000") return hex;  // they mean "none" and "new"
  }
}

// VMware's form: "60 00 C2 9d 5f 3a 10 22-71 00 ...".
std::string vmware_form(const Uuid& uuid) {
  std::string text;
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (i != 0) text += i == 8 ? '-' : ' ';
    text += to_hex(uuid.view().subspan(i, 1));
  }
  return text;
}

// What VMware assumes for a disk that does not say.
Geometry default_geometry(std::uint64_t size_bytes, const std::string& adapter) {
  Geometry geometry{.cylinders = 0, .heads = adapter == "ide" ? 16U : 255U, .sectors = 63};
  const std::uint64_t cylinders = size_bytes / 512 / (std::uint64_t{geometry.heads} * geometry.sectors);
  const std::uint64_t cylinders_max = adapter == "ide" ? 16383 : 0xffffffff;
  geometry.cylinders = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(cylinders, 1, cylinders_max));
  return geometry;
}

std::map<std::string, std::string> ddb_of(const OutputDisk& disk, const std::string& cid) {
  const DiskDescription& source = disk.description;
  std::map<std::string, std::string> ddb;
  for (const auto& [key, value] : source.ddb) {
    if (!is_key(key) || !fits_in_quotes(value))
      throw Error(ErrorCode::malformed, "a disk's data base cannot be written", key);
    if (key.starts_with("ddb.native")) continue;  // names files of the source's storage
    ddb[key] = value;
  }
  if (ddb.contains("ddb.encoding")) ddb["ddb.encoding"] = "UTF-8";
  // The content's long id ends in the CID.
  if (ddb.contains("ddb.longContentID")) ddb["ddb.longContentID"] = to_hex(Uuid::random().view().first(12)) + cid;
  const std::string adapter = source.adapter_type.empty() ? "lsilogic" : source.adapter_type;
  if (!fits_in_quotes(adapter)) throw Error(ErrorCode::malformed, "a disk's adapter cannot be written", adapter);
  const Geometry geometry =
      source.geometry == Geometry{} ? default_geometry(disk.size_bytes, adapter) : source.geometry;
  ddb["ddb.adapterType"] = adapter;
  ddb["ddb.geometry.cylinders"] = std::to_string(geometry.cylinders);
  ddb["ddb.geometry.heads"] = std::to_string(geometry.heads);
  ddb["ddb.geometry.sectors"] = std::to_string(geometry.sectors);
  ddb.emplace("ddb.virtualHWVersion", "4");
  if (!source.uuid.is_none() && !ddb.contains("ddb.uuid") && !ddb.contains("ddb.uuid.image"))
    ddb["ddb.uuid"] = vmware_form(source.uuid);
  return ddb;
}

}  // namespace

std::string output_descriptor(const OutputDisk& disk, const OutputExtent& extent) {
  if (!fits_in_quotes(extent.file_name))
    throw Error(ErrorCode::usage, "a disk cannot have this name", extent.file_name, "choose one without quotes");
  const std::string cid = new_cid();
  std::string text = "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=" + cid +
                     "\nparentCID=ffffffff\ncreateType=\"" + extent.create_type + "\"\n\n# Extent description\nRW " +
                     std::to_string(disk.size_bytes / 512) + ' ' + extent.type + " \"" + extent.file_name + '"' +
                     (extent.type == "FLAT" ? " 0" : "") + "\n\n# The Disk Data Base\n#DDB\n\n";
  for (const auto& [key, value] : ddb_of(disk, cid)) text += key + " = \"" + value + "\"\n";
  return text;
}

}  // namespace vmferry::disk
