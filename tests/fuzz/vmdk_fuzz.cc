// link: disk
// Any bytes as a VMDK: a sparse file by itself, a descriptor with its extent, or an extent of a given kind. Opening and
// reading gives bytes or an Error; what extent_at calls a hole reads as zeros, and it covers the disk.
#include <stdlib.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "engine/disk/disk.h"
#include "protocol/bytes.h"
#include "protocol/error.h"

namespace {

using namespace vmferry;
namespace fs = std::filesystem;

constexpr std::uint64_t read_bytes_max = 512 * 1024;

// In memory where the machine has such a folder.
const fs::path& folder() {
  static const fs::path path = [] {
    std::string name = (fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) / "vmdk-fuzz-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) ::abort();
    return name;
  }();
  return path;
}

void write_file(const char* name, ByteView content) {
  std::ofstream file(folder() / name, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
}

std::uint64_t number_at(ByteView bytes, std::size_t offset, std::size_t length) {
  std::uint64_t value = 0;
  if (bytes.size() >= offset + length) std::memcpy(&value, bytes.data() + offset, length);
  return value;
}

void read_everything(const disk::Disk& disk) {
  Bytes buffer;
  std::uint64_t at = 0;
  for (int extents = 0; at < disk.size_bytes() && at < read_bytes_max && extents < 200; ++extents) {
    const disk::DiskExtent extent = disk.extent_at(at);
    if (extent.range.offset != at || extent.range.length == 0 || extent.range.end() > disk.size_bytes()) ::abort();
    buffer.assign(static_cast<std::size_t>(std::min(extent.range.length, read_bytes_max)), std::byte{1});
    disk.read(at, buffer);
    if (extent.hole && !std::ranges::all_of(buffer, [](std::byte b) { return b == std::byte{0}; })) ::abort();
    at = extent.range.end();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const ByteView input = std::as_bytes(std::span(data, size));
  const unsigned kind = data[0] % 5;
  const ByteView rest = input.subspan(3);
  const auto extent_of = [&](const char* type, std::uint64_t sectors) {
    write_file("d.vmdk", as_bytes("# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\ncreateType=\"custom\"\nRW " +
                                  std::to_string(sectors) + " " + type + " \"e.vmdk\"\n"));
    write_file("e.vmdk", rest);
  };
  switch (kind) {
    case 0: write_file("d.vmdk", rest); break;
    case 1: {
      const std::size_t text = std::min<std::size_t>(rest.size(), number_at(input, 1, 2));
      write_file("d.vmdk", rest.first(text));
      write_file("e.vmdk", rest.subspan(text));
      break;
    }
    case 2: extent_of("SPARSE", number_at(rest, 12, 8)); break;
    case 3: extent_of("VMFSSPARSE", number_at(rest, 12, 4)); break;
    default: extent_of("SESPARSE", number_at(rest, 16, 8)); break;
  }
  try {
    read_everything(*disk::open_disk(folder() / "d.vmdk"));
  } catch (const Error&) {
  }
  return 0;
}
