// work_a_day: what changes between two backups.
#include <algorithm>

#include "bench/case/changed_version.h"
#include "bench/case/database.h"
#include "bench/case/generated_files.h"
#include "bench/case/machine.h"
#include "bench/case/write_back.h"
#include "tests/support/content.h"

namespace vmferry::bench {
namespace {

using test::NtfsImage;
using test::Random;

void use_databases(NtfsImage& volume, const MachinePlan& plan, std::uint64_t seed) {
  for (std::size_t i = 0; i < database_count; ++i) {
    const std::filesystem::path file = host_database(plan, i);
    const std::filesystem::path before = file.string() + ".before";
    std::filesystem::copy_file(file, before, std::filesystem::copy_options::overwrite_existing);
    work_on_database(file, seed + i);
    write_changed_pages(volume, before, file, volume_database(i));
    std::filesystem::remove(before);
  }
}

void update_packages(NtfsImage& volume, const MachinePlan& plan, Random& random) {
  std::uint64_t installed = 0;
  for (const HostPackage& package : plan.packages) installed += package.bytes;
  std::uint64_t left = installed / 25;
  for (unsigned tries = 0; left > 0 && tries < 1000; ++tries) {
    const HostPackage& package = plan.packages[random.below(plan.packages.size())];
    if (package.bytes > 2 * left) continue;
    for (const HostFile& file : package.files) {
      const std::string path = installed_path(package, file);
      if (volume.exists(path)) replace_file(volume, path, changed_version(volume.read_file(path), random.next()));
    }
    left -= std::min(left, package.bytes);
  }
}

void edit_documents(NtfsImage& volume, Random& random) {
  for (unsigned i = 0; i < 40; ++i) {
    const std::string folder = "/Users/ann/Documents/Project " + std::to_string(i);
    if (!volume.exists(folder)) continue;
    const auto entries = volume.list(folder);
    for (const test::NtfsListEntry& entry : entries) {
      const std::string path = folder + "/" + entry.name;
      const std::uint64_t what = random.below(60);
      if (what < 2) {
        replace_file(volume, path, changed_version(volume.read_file(path), random.next()));
      } else if (what == 2) {
        volume.rename(path, folder + "/Copy of " + entry.name);
      } else if (what == 3) {
        volume.remove(path);
      }
    }
  }
}

void write_new_files(NtfsImage& volume, const MachinePlan& plan, unsigned day, Random& random) {
  const std::string today = "day " + std::to_string(day);
  for (std::uint64_t left = share_of(plan, plan.mails_share) / 20; left > 0;) {
    const std::string text =
        mail(random.next(), random.size_between(500, 8000), picture(random.next(), random.below(100'000)));
    volume.write_file("/Users/ann/Mail/" + today + "/" + std::to_string(left) + ".eml", text);
    left -= std::min<std::uint64_t>(left, text.size());
  }
  for (std::uint64_t left = share_of(plan, plan.pictures_share) / 20; left > 0;) {
    const std::size_t bytes = std::min<std::uint64_t>(left, random.size_between(200'000, 8'000'000));
    volume.write_file("/Users/ann/Pictures/" + today + "/" + std::to_string(left) + ".jpg",
                      picture(random.next(), bytes));
    left -= bytes;
  }
  for (unsigned i = 0; i < 30; ++i) {
    volume.write_file("/Users/ann/Documents/" + today + "/" + std::to_string(i) + ".txt",
                      test::text_bytes(random.next(), random.size_between(200, 100'000)));
  }
}

void use_memory(NtfsImage& volume, const MachinePlan& plan, Random& random) {
  constexpr std::uint64_t piece = 64 * 1024;
  const std::uint64_t bytes = volume.file_bytes("/pagefile.sys");
  for (std::uint64_t at = 0; at + piece <= bytes; at += piece) {
    if (random.below(2) == 0) volume.overwrite("/pagefile.sys", at, test::random_bytes(random.next(), piece));
  }
  const auto dirty = static_cast<double>(share_of(plan, plan.dirty_share)) / 2;
  volume.dirty_free_space(dirty / static_cast<double>(std::max<std::uint64_t>(volume.free_bytes(), 1)), random.next());
}

}  // namespace

void work_a_day(NtfsImage& volume, const MachinePlan& plan, unsigned day) {
  Random random(plan.seed * 1000 + day);
  use_databases(volume, plan, random.next());
  for (std::size_t i = 0; i < log_count(); ++i) {
    const std::string path = log_path(i);
    volume.append(path, as_bytes(log_lines(random.next(), volume.file_bytes(path) / 14, 86400 * day + i)));
  }
  update_packages(volume, plan, random);
  edit_documents(volume, random);
  write_new_files(volume, plan, day, random);
  // A renamed folder is one entry in its parent.
  const std::string project = "/Users/ann/Documents/Project " + std::to_string(day);
  if (volume.exists(project)) volume.rename(project, project + " (done)");
  use_memory(volume, plan, random);
}

}  // namespace vmferry::bench
