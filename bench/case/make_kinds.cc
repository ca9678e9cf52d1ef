// make-kinds --output DIR [--size-mib 768] [--only KIND]...: one base disk, and a changed copy of it for each kind of
// change, each a monolithicFlat VMDK with a JSON that says what changed.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "bench/case/kinds.h"
#include "tests/support/disk_image.h"
#include "tests/support/process.h"
#include "tests/support/sparse_file.h"

namespace {

using namespace vmferry;
using namespace vmferry::bench;
using namespace vmferry::test;
using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uint64_t MiB = 1 << 20;
constexpr std::string_view uuid_base = "60 00 c2 9b 4b 69 6e 64-73 20 62 61 73 65 00 01";
constexpr std::string_view uuid_full = "60 00 c2 9b 4b 69 6e 64-73 20 66 75 6c 6c 00 01";
constexpr std::string_view uuid_clone = "60 00 c2 9b 4b 69 6e 64-73 20 62 61 73 65 00 02";

struct Arguments {
  fs::path output;
  std::uint64_t size_mib = 768;
  std::vector<std::string> only;
};

Arguments parse(int count, char** words) {
  Arguments arguments;
  bool understood = true;
  for (int i = 1; i < count; ++i) {
    const std::string name = words[i];
    if (name == "--output" && i + 1 < count) {
      arguments.output = words[++i];
    } else if (name == "--size-mib" && i + 1 < count) {
      arguments.size_mib = std::stoull(words[++i]);
    } else if (name == "--only" && i + 1 < count) {
      arguments.only.emplace_back(words[++i]);
    } else {
      understood = false;
    }
  }
  for (const std::string& name : arguments.only) {
    understood = understood && std::any_of(change_kinds().begin(), change_kinds().end(),
                                           [&](const ChangeKind& kind) { return kind.name == name; });
  }
  if (arguments.output.empty() || !understood) {
    std::string known;
    for (const ChangeKind& kind : change_kinds()) known += " " + kind.name;
    throw std::runtime_error("usage: make-kinds --output DIR [--size-mib 768] [--only KIND]...\nkinds:" + known);
  }
  return arguments;
}

class Maker {
 public:
  explicit Maker(const Arguments& arguments) : arguments_(arguments) {
    const std::uint64_t bytes = arguments.size_mib * MiB;
    plan_ = {.disk_bytes = bytes,
             .work = arguments.output / "work",
             .packages = choose_packages(bytes / 10, bytes / 40, 30)};
  }

  void make() {
    fs::create_directories(arguments_.output);
    make_base();
    json all = json::array();
    for (const ChangeKind& kind : change_kinds()) {
      if (!wanted(kind.name)) continue;
      if (kind.from_full && !fs::exists(flat("full"))) make_full();
      all.push_back(make_kind(kind));
    }
    std::ofstream(arguments_.output / "kinds.json") << all.dump(1) << "\n";
    fs::remove_all(plan_.work);
  }

 private:
  fs::path flat(const std::string& name) const { return arguments_.output / (name + "-flat.vmdk"); }
  void describe(const std::string& name, std::string_view uuid) const {
    write_flat_descriptor(arguments_.output / (name + ".vmdk"), flat(name), uuid);
  }
  bool wanted(const std::string& name) const {
    const auto& only = arguments_.only;
    return only.empty() || std::find(only.begin(), only.end(), name) != only.end();
  }
  static void say(const std::string& what) {
    std::printf("%s ...\n", what.c_str());
    std::fflush(stdout);
  }

  void make_base() {
    say("base");
    const DiskImage disk =
        make_disk(flat("base"), plan_.disk_bytes, PartitionTable::gpt,
                  {{.name = "Microsoft reserved partition", .bytes = 16 * MiB, .kind = PartitionKind::reserved},
                   {.name = "Basic data partition", .ntfs = NtfsFormat{.label = "System"}}});
    volume_ = disk.partitions[1];
    NtfsImage volume(disk.file, volume_);
    install_kinds_base(volume, plan_);
    volume.close();
    describe("base", uuid_base);
  }

  void make_full() {
    say("full");
    copy(flat("base"), flat("full"));
    NtfsImage volume(flat("full"), volume_);
    fill_up(volume, 0.97);
    volume.close();
    describe("full", uuid_full);
  }

  json make_kind(const ChangeKind& kind) {
    say(kind.name);
    const std::string base = kind.from_full ? "full" : "base";
    copy(flat(base), flat(kind.name));
    NtfsImage volume(flat(kind.name), volume_);
    const ChangeFacts changed = kind.change(volume, plan_);
    volume.close();
    if (kind.mft_corrupted) break_first_record(flat(kind.name));
    describe(kind.name, kind.other_machine ? uuid_clone : kind.from_full ? uuid_full : uuid_base);
    json facts{{"kind", kind.name},
               {"what", kind.what},
               {"base", base},
               {"machine", kind.other_machine ? "B" : "A"},
               {"floor_of", kind.floor_of.empty() ? kind.name : kind.floor_of},
               {"changed", changed},
               {"disk_bytes", plan_.disk_bytes},
               {"volume_offset", volume_.offset},
               {"volume_bytes", volume_.length}};
    if (kind.sent_bytes_most != 0) facts["sent_bytes_most"] = kind.sent_bytes_most;
    std::ofstream(arguments_.output / (kind.name + ".json")) << facts.dump(1) << "\n";
    return facts;
  }

  static void copy(const fs::path& from, const fs::path& to) {
    run_ok({"cp", "--reflink=auto", "--sparse=always", from.string(), to.string()});
  }

  // Record 0 describes $MFT itself: without it there is no file table to read.
  void break_first_record(const fs::path& disk) const {
    const Bytes boot = read_range(disk, {volume_.offset, 512});
    std::uint64_t cluster = 0;
    std::copy_n(boot.begin() + 0x30, sizeof cluster, reinterpret_cast<std::byte*>(&cluster));
    const std::uint64_t sectors_per_cluster = std::to_integer<std::uint64_t>(boot[13]);
    write_range(disk, volume_.offset + cluster * sectors_per_cluster * 512, as_bytes("BAAD"));
  }

  Arguments arguments_;
  KindsPlan plan_;
  ByteRange volume_;
};

}  // namespace

int main(int count, char** words) {
  try {
    Maker(parse(count, words)).make();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make-kinds: %s\n", error.what());
    return 1;
  }
}
