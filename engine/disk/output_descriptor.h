// The descriptor of a disk that we write: a new CID, the source's data base, one extent.
#pragma once

#include <string>

#include "engine/disk/disk_writer.h"

namespace vmferry::disk {

struct OutputExtent {
  std::string create_type;  // "monolithicFlat"
  std::string type;         // "FLAT"
  std::string file_name;
};

// Throws Error{malformed} for ddb lines, Error{usage} for a name, that would break the text.
std::string output_descriptor(const OutputDisk& disk, const OutputExtent& extent);

}  // namespace vmferry::disk
