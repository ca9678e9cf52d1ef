// make-sample-disk create DIR/sample.vmdk [--size-mib 512]: a small NTFS disk with real files in a monolithicFlat VMDK,
// for ./quickstart. make-sample-disk change DIR/sample.vmdk: a day of work on it, in place. Needs neither FUSE nor loop
// devices.
#include <cstdio>
#include <exception>
#include <string>

#include "bench/case/machine.h"
#include "tests/support/disk_image.h"

namespace {

using namespace vmferry::bench;
using namespace vmferry::test;
namespace fs = std::filesystem;

constexpr std::uint64_t MiB = 1 << 20;
constexpr std::uint64_t volume_offset = 17 * MiB;

fs::path flat_file(const fs::path& vmdk) { return vmdk.parent_path() / (vmdk.stem().string() + "-flat.vmdk"); }
fs::path databases(const fs::path& vmdk) { return vmdk.parent_path() / (vmdk.stem().string() + ".databases"); }

MachinePlan plan_for(const fs::path& vmdk, std::uint64_t bytes) {
  return {.seed = 7,
          .disk_bytes = bytes,
          .packages = choose_packages(bytes / 8, bytes / 40, 7),
          .databases = databases(vmdk)};
}

void create(const fs::path& vmdk, std::uint64_t bytes) {
  fs::create_directories(vmdk.parent_path());
  const DiskImage disk =
      make_disk(flat_file(vmdk), bytes, PartitionTable::gpt,
                {{.name = "Microsoft reserved partition", .bytes = 16 * MiB, .kind = PartitionKind::reserved},
                 {.name = "Basic data partition", .ntfs = NtfsFormat{.label = "Sample"}}});
  NtfsImage volume(disk.file, disk.partitions[1]);
  volume.write_file("/Users/ann/Documents/report.txt", "The first version of the report.\n");
  install_machine(volume, plan_for(vmdk, bytes));
  volume.close();
  write_flat_descriptor(vmdk, disk.file, "60 00 c2 9d 53 61 6d 70-6c 65 20 64 69 73 6b 01");
}

void change(const fs::path& vmdk) {
  const std::uint64_t bytes = fs::file_size(flat_file(vmdk));
  NtfsImage volume(flat_file(vmdk), {volume_offset, bytes - volume_offset - MiB});
  unsigned day = 2;
  while (volume.exists("/Users/ann/Documents/day " + std::to_string(day))) ++day;
  volume.write_file("/Users/ann/Documents/report.txt",
                    "The report, as it was changed on day " + std::to_string(day) + ".\n");
  work_a_day(volume, plan_for(vmdk, bytes), day);
  volume.close();
}

}  // namespace

int main(int count, char** words) {
  try {
    const std::string command = count > 2 ? words[1] : "";
    if (command == "create" && (count == 3 || (count == 5 && std::string(words[3]) == "--size-mib"))) {
      create(fs::absolute(words[2]), (count == 5 ? std::stoull(words[4]) : 512) * MiB);
    } else if (command == "change" && count == 3) {
      change(fs::absolute(words[2]));
    } else {
      std::fprintf(stderr,
                   "usage: make-sample-disk create DIR/sample.vmdk [--size-mib 512]\n"
                   "       make-sample-disk change DIR/sample.vmdk\n");
      return 64;
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make-sample-disk: %s\n", error.what());
    return 1;
  }
}
