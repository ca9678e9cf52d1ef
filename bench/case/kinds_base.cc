// The base of the cases by kind: a database, a mailbox, packages, jars, logs, documents, pictures, and a folder of
// 10,000 small files.
#include "bench/case/database.h"
#include "bench/case/generated_files.h"
#include "bench/case/kinds.h"
#include "bench/case/machine.h"
#include "tests/support/content.h"
#include "tests/support/process.h"

namespace vmferry::bench {
namespace {

using test::NtfsImage;
using test::Random;

void install_packages(NtfsImage& volume, const KindsPlan& plan) {
  Random random(31);
  for (const HostPackage& package : plan.packages) {
    for (const HostFile& file : package.files) {
      const std::string path = kinds_package_file(package, file);
      if (file.bytes > 256 * 1024 && random.below(10) == 0) {
        volume.write_fragmented(path, as_bytes(read_host_file(file.path)), 256 * 1024);
      } else {
        volume.copy_from_host(file.path, path);
      }
    }
  }
  test::run_ok({"python3", VMFERRY_JARS_PY, "create", host_jars(plan).string(), "12", "5"});
  for (const auto& jar : std::filesystem::directory_iterator(host_jars(plan)))
    volume.copy_from_host(jar.path(), "/Program Files/Shop/lib/" + jar.path().filename().string());
}

void write_mailbox(NtfsImage& volume, std::uint64_t bytes) {
  Random random(32);
  std::string waiting;
  volume.write_file(kinds_mailbox, bytes, [&](std::uint64_t, std::span<std::byte> piece) {
    while (waiting.size() < piece.size()) {
      const Bytes attachment = picture(random.next(), random.below(4) == 0 ? random.below(200'000) : 0);
      waiting += mail(random.next(), random.size_between(500, 8000), attachment);
    }
    std::copy_n(as_bytes(waiting).begin(), piece.size(), piece.begin());
    waiting.erase(0, piece.size());
  });
}

void write_documents(NtfsImage& volume, const KindsPlan& plan) {
  Random random(33);
  const std::uint64_t each = kinds_share(plan, 0.06) / plan.documents;
  for (unsigned i = 0; i < plan.documents; ++i) {
    const std::size_t bytes = random.size_between(each / 4, each * 2);
    if (i % 3 == 0) {
      volume.write_file(kinds_document(i), json_document(random.next(), bytes));
    } else {
      volume.write_file(kinds_document(i), test::text_bytes(random.next(), bytes));
    }
  }
  for (unsigned i = 0; i < 8; ++i) {
    volume.write_file("/Users/ann/Pictures/" + std::to_string(i) + ".jpg",
                      picture(random.next(), kinds_share(plan, 0.02) / 8));
  }
}

void write_archive(NtfsImage& volume, const KindsPlan& plan) {
  Random random(34);
  const Bytes words = test::text_bytes(35, 1 << 20);
  for (unsigned i = 0; i < plan.archive_files; ++i) {
    const std::size_t bytes = random.size_between(100, 10'000);
    volume.write_file(std::string(kinds_archive) + "/record " + std::to_string(i) + ".txt",
                      ByteView(words).subspan(random.below(words.size() - bytes), bytes));
  }
}

}  // namespace

std::filesystem::path host_database(const KindsPlan& plan) { return plan.work / "orders.sqlite"; }
std::filesystem::path host_jars(const KindsPlan& plan) { return plan.work / "jars"; }
std::string kinds_log(unsigned index) { return log_path(index); }
std::string kinds_document(unsigned index) {
  return "/Users/ann/Documents/document " + std::to_string(index) + ".txt";
}
std::string kinds_package_file(const HostPackage& package, const HostFile& file) {
  return installed_path(package, file);
}
std::uint64_t kinds_share(const KindsPlan& plan, double share) {
  return static_cast<std::uint64_t>(static_cast<double>(plan.disk_bytes) * share);
}

void install_kinds_base(NtfsImage& volume, const KindsPlan& plan) {
  std::filesystem::create_directories(plan.work);
  install_packages(volume, plan);
  create_database(host_database(plan), kinds_share(plan, 0.195), 36);
  volume.copy_from_host(host_database(plan), kinds_database);
  write_mailbox(volume, kinds_share(plan, 0.13));
  for (unsigned i = 0; i < plan.logs; ++i)
    volume.write_file(kinds_log(i), log_lines(37 + i, kinds_share(plan, 0.04) / plan.logs, i * 1000));
  write_documents(volume, plan);
  write_archive(volume, plan);
  volume.write_file("/ProgramData/machine.ini", "[machine]\r\nname=WEB-01\r\naddress=10.1.0.11\r\n");
  volume.write_file("/ProgramData/settings.hive", test::text_bytes(38, 4 << 20));
  volume.write_pagefile(kinds_share(plan, 0.02), 39);
}

void fill_up(NtfsImage& volume, double share) {
  Random random(40);
  const std::uint64_t keep = static_cast<std::uint64_t>(
      static_cast<double>(volume.cluster_count() * volume.cluster_bytes()) * (1 - share));
  std::uint64_t free = volume.free_bytes();
  for (unsigned i = 0; free > keep; ++i) {
    const std::size_t bytes = std::min<std::uint64_t>(free - keep, random.size_between(100'000, 2'000'000));
    const Bytes content = i % 3 == 0 ? picture(random.next(), bytes) : test::text_bytes(random.next(), bytes);
    volume.write_file("/Data/Full/" + std::to_string(i) + ".dat", content);
    free -= std::min<std::uint64_t>(free, (bytes + 8191) / 4096 * 4096);
  }
}

}  // namespace vmferry::bench
