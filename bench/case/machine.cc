#include "bench/case/machine.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "bench/case/database.h"
#include "bench/case/generated_files.h"
#include "tests/support/content.h"

namespace vmferry::bench {
namespace {

using test::NtfsImage;
using test::Random;

void install_packages(NtfsImage& volume, const MachinePlan& plan) {
  std::vector<const HostPackage*> order;
  for (const HostPackage& package : plan.packages) order.push_back(&package);
  Random random(plan.seed);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  for (const HostPackage* package : order) {
    for (const HostFile& file : package->files) {
      const std::string path = installed_path(*package, file);
      if (file.bytes > 256 * 1024 && random.below(100) < plan.fragmented_percent) {
        volume.write_fragmented(path, as_bytes(read_host_file(file.path)), random.size_between(64 * 1024, 1 << 20));
      } else {
        volume.copy_from_host(file.path, path);
      }
    }
  }
}

void install_databases(NtfsImage& volume, const MachinePlan& plan) {
  std::filesystem::create_directories(plan.databases);
  for (std::size_t i = 0; i < database_count; ++i) {
    create_database(host_database(plan, i), database_bytes(plan, i), plan.seed + i);
    volume.copy_from_host(host_database(plan, i), volume_database(i));
  }
}

void write_logs(NtfsImage& volume, const MachinePlan& plan) {
  for (std::size_t i = 0; i < log_count(); ++i) {
    volume.write_file(log_path(i),
                      log_lines(plan.seed + 100 + i, share_of(plan, plan.logs_share) / log_count(), i * 1000));
  }
}

void write_mails(NtfsImage& volume, const MachinePlan& plan) {
  Random random(plan.seed + 200);
  std::uint64_t left = share_of(plan, plan.mails_share);
  for (unsigned i = 0; left > 0; ++i) {
    const std::size_t attached = random.below(4) == 0 ? random.size_between(10'000, 300'000) : 0;
    const std::string text = mail(random.next(), random.size_between(500, 8000), picture(random.next(), attached));
    volume.write_file("/Users/ann/Mail/" + std::to_string(i / 500) + "/" + std::to_string(i) + ".eml", text);
    left -= std::min<std::uint64_t>(left, text.size());
  }
}

void write_documents(NtfsImage& volume, const MachinePlan& plan) {
  Random random(plan.seed + 300);
  std::uint64_t left = share_of(plan, plan.documents_share);
  for (unsigned i = 0; left > 0; ++i) {
    const std::size_t bytes = random.size_between(200, 200'000);
    const std::string path = "/Users/ann/Documents/Project " + std::to_string(i % 40) + "/" + std::to_string(i);
    if (i % 3 == 0) {
      volume.write_file(path + ".json", json_document(random.next(), bytes));
    } else {
      volume.write_file(path + ".txt", test::text_bytes(random.next(), bytes));
    }
    left -= std::min<std::uint64_t>(left, bytes);
  }
}

void write_pictures(NtfsImage& volume, const MachinePlan& plan) {
  Random random(plan.seed + 400);
  std::uint64_t left = share_of(plan, plan.pictures_share);
  for (unsigned i = 0; left > 0; ++i) {
    const std::size_t bytes = std::min<std::uint64_t>(left, random.size_between(200'000, 30'000'000));
    volume.write_file("/Users/ann/Pictures/IMG_" + std::to_string(i) + ".jpg", picture(random.next(), bytes));
    left -= bytes;
  }
}

}  // namespace

void install_machine(NtfsImage& volume, const MachinePlan& plan) {
  // Windows makes the pagefile early: it lies low on the disk, in one piece.
  volume.write_pagefile(share_of(plan, plan.pagefile_share), plan.seed + 1000);
  install_packages(volume, plan);
  install_databases(volume, plan);
  write_logs(volume, plan);
  write_mails(volume, plan);
  write_documents(volume, plan);
  write_pictures(volume, plan);
  const auto dirty = static_cast<double>(share_of(plan, plan.dirty_share));
  volume.dirty_free_space(dirty / static_cast<double>(std::max<std::uint64_t>(volume.free_bytes(), 1)),
                          plan.seed + 2000);
}

std::uint64_t share_of(const MachinePlan& plan, double share) {
  return static_cast<std::uint64_t>(static_cast<double>(plan.disk_bytes) * share);
}

std::string installed_path(const HostPackage& package, const HostFile& file) {
  return "/Program Files/" + package.name + "/" + file.path.relative_path().string().substr(4);  // without "usr/"
}

std::string read_host_file(const std::filesystem::path& path) {
  std::ifstream input(path, std::ios::binary);
  if (!input) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(input), {}};
}

std::filesystem::path host_database(const MachinePlan& plan, std::size_t index) {
  return plan.databases / ("database-" + std::to_string(index));
}

std::string volume_database(std::size_t index) {
  return "/ProgramData/Shop/database-" + std::to_string(index) + ".sqlite";
}

std::uint64_t database_bytes(const MachinePlan& plan, std::size_t index) {
  constexpr double part[database_count] = {0.7, 0.25, 0.05};
  return share_of(plan, plan.databases_share * part[index]);
}

std::size_t log_count() { return 16; }
std::string log_path(std::size_t index) { return "/inetpub/logs/service-" + std::to_string(index) + ".log"; }

}  // namespace vmferry::bench
