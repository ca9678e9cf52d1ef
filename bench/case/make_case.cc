// make-case --output DIR [--size-gib 6] [--seed 1] [--day1-only]: two days of one machine, and a sibling of it, each as
// a monolithicFlat VMDK.
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>

#include "bench/case/machine.h"
#include "tests/support/disk_image.h"
#include "tests/support/process.h"
#include "tests/support/sparse_file.h"

namespace {

using namespace vmferry::bench;
using namespace vmferry::test;
namespace fs = std::filesystem;

constexpr std::uint64_t MiB = 1 << 20;

struct Arguments {
  fs::path output;
  double size_gib = 6;
  std::uint64_t seed = 1;
  bool day1_only = false;
};

Arguments parse(int count, char** words) {
  Arguments arguments;
  bool understood = true;
  for (int i = 1; i < count; ++i) {
    const std::string name = words[i];
    if (name == "--day1-only") {
      arguments.day1_only = true;
    } else if (name == "--output" && i + 1 < count) {
      arguments.output = words[++i];
    } else if (name == "--size-gib" && i + 1 < count) {
      arguments.size_gib = std::stod(words[++i]);
    } else if (name == "--seed" && i + 1 < count) {
      arguments.seed = std::stoull(words[++i]);
    } else {
      understood = false;
    }
  }
  if (arguments.output.empty() || !understood) {
    throw std::runtime_error("usage: make-case --output DIR [--size-gib 6] [--seed 1] [--day1-only]");
  }
  return arguments;
}

void say(const std::string& what) {
  static const auto begin = std::chrono::steady_clock::now();
  std::printf("%6.1f s  %s\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
              what.c_str());
  std::fflush(stdout);
}

DiskImage partition(const fs::path& flat, std::uint64_t bytes) {
  return make_disk(flat, bytes, PartitionTable::gpt,
                   {{.name = "EFI system partition", .bytes = 100 * MiB, .kind = PartitionKind::efi},
                    {.name = "Microsoft reserved partition", .bytes = 16 * MiB, .kind = PartitionKind::reserved},
                    {.name = "Basic data partition", .ntfs = NtfsFormat{.label = "System"}}});
}

// What the judges must know of it, beside the disk.
void write_facts(const fs::path& directory, const DiskImage& disk, const std::string& small_file) {
  std::ofstream(directory / "case.json") << "{\"disk_bytes\": " << disk.bytes
                                         << ", \"volume_offset\": " << disk.partitions[2].offset
                                         << ", \"volume_bytes\": " << disk.partitions[2].length
                                         << ", \"small_file\": \"" << small_file << "\"}\n";
}

// Descriptors say which disk it is: day 1 and day 2 are the same one.
constexpr std::string_view uuid_a = "60 00 c2 9a 11 22 33 44-55 66 77 88 99 aa bb 01";
constexpr std::string_view uuid_b = "60 00 c2 9a 11 22 33 44-55 66 77 88 99 aa bb 02";

void work_day_two(const Arguments& arguments, const MachinePlan& plan, const DiskImage& day1) {
  say("machine A works a day");
  const fs::path flat = arguments.output / "day2-flat.vmdk";
  run_ok({"cp", "--sparse=always", day1.file.string(), flat.string()});
  NtfsImage volume(flat, day1.partitions[2]);
  work_a_day(volume, plan, 2);
  volume.close();
  write_flat_descriptor(arguments.output / "day2.vmdk", flat, uuid_a);
}

void install_sibling(const Arguments& arguments, MachinePlan plan) {
  say("machine B, the sibling, is installed");
  plan.seed += 1'000'000;
  plan.databases = arguments.output / "databases-b";
  plan.fragmented_percent = 8;
  const DiskImage sibling = partition(arguments.output / "sibling-flat.vmdk", plan.disk_bytes);
  NtfsImage volume(sibling.file, sibling.partitions[2]);
  install_machine(volume, plan);
  volume.close();
  write_flat_descriptor(arguments.output / "sibling.vmdk", sibling.file, uuid_b);
}

void make(const Arguments& arguments) {
  const auto bytes = static_cast<std::uint64_t>(arguments.size_gib * 1024) * MiB;
  fs::create_directories(arguments.output);
  const auto file = [&](const std::string& name) { return arguments.output / name; };
  const MachinePlan plan{.seed = arguments.seed,
                         .disk_bytes = bytes,
                         .packages = choose_packages(bytes / 5, bytes / 30, arguments.seed),
                         .databases = file("databases-a")};
  say("machine A is installed");
  const DiskImage day1 = partition(file("day1-flat.vmdk"), bytes);
  {
    NtfsImage volume(day1.file, day1.partitions[2]);
    install_machine(volume, plan);
    volume.close();
  }
  write_flat_descriptor(file("day1.vmdk"), day1.file, uuid_a);
  write_facts(arguments.output, day1, "/Users/ann/Documents/Project 1/1.txt");

  if (!arguments.day1_only) {
    work_day_two(arguments, plan, day1);
    install_sibling(arguments, plan);
  }
  fs::remove_all(file("databases-a"));
  fs::remove_all(file("databases-b"));
  say("done: " + arguments.output.string());
}

}  // namespace

int main(int count, char** words) {
  try {
    make(parse(count, words));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make-case: %s\n", error.what());
    return 1;
  }
}
