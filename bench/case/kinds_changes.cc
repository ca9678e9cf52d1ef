// What happens on the second day, kind by kind.
#include <algorithm>
#include <iterator>

#include "bench/case/changed_version.h"
#include "bench/case/database.h"
#include "bench/case/generated_files.h"
#include "bench/case/kinds.h"
#include "bench/case/machine.h"
#include "bench/case/write_back.h"
#include "tests/support/content.h"
#include "tests/support/process.h"

namespace vmferry::bench {
namespace {

using test::NtfsImage;
using test::Random;
namespace fs = std::filesystem;

constexpr std::uint64_t KiB = 1 << 10;

ChangeFacts update_database(NtfsImage& volume, const KindsPlan& plan) {
  const fs::path after = host_database(plan).string() + ".after";
  fs::copy_file(host_database(plan), after, fs::copy_options::overwrite_existing);
  const std::uint64_t rows = update_scattered_rows(after, 0.01, 51);
  const std::uint64_t pages = write_changed_pages(volume, host_database(plan), after, kinds_database);
  fs::remove(after);
  return {{"rows", rows}, {"pages", pages}, {"file_bytes", volume.file_bytes(kinds_database)}};
}

ChangeFacts append_logs(NtfsImage& volume, const KindsPlan& plan) {
  std::uint64_t added = 0;
  for (unsigned i = 0; i < plan.logs; ++i) {
    const std::string lines = log_lines(60 + i, volume.file_bytes(kinds_log(i)) / 14, 86400 * 2 + i);
    volume.append(kinds_log(i), as_bytes(lines));
    added += lines.size();
  }
  return {{"files", plan.logs}, {"added_bytes", added}};
}

// As a mail program that keeps all in one file: what follows moves.
ChangeFacts insert_into_mailbox(NtfsImage& volume, const KindsPlan&) {
  Bytes content = volume.read_file(kinds_mailbox);
  Random random(52);
  std::uint64_t added = 0;
  const std::size_t first = content.size() / 3;
  std::size_t at = first;
  for (const std::uint64_t attached : {7 * KiB, 100 * KiB, 700 * KiB}) {
    const std::string text = mail(random.next(), 3000, picture(random.next(), attached));
    const ByteView inserted = as_bytes(text);
    content.insert(content.begin() + static_cast<std::ptrdiff_t>(at), inserted.begin(), inserted.end());
    added += text.size();
    at += content.size() / 6;
  }
  volume.overwrite(kinds_mailbox, first, ByteView(content).subspan(first));
  return {{"places", 3}, {"added_bytes", added}, {"file_bytes", content.size()}};
}

ChangeFacts update_packages(NtfsImage& volume, const KindsPlan& plan) {
  Random random(53);
  std::uint64_t installed = 0;
  for (const HostPackage& package : plan.packages) installed += package.bytes;
  std::uint64_t replaced = 0;
  std::uint64_t files = 0;
  for (const HostPackage& package : plan.packages) {
    if (replaced > installed / 4) break;
    for (const HostFile& file : package.files) {
      const std::string path = kinds_package_file(package, file);
      if (!volume.exists(path)) continue;
      replace_file(volume, path, changed_version(volume.read_file(path), random.next()));
      replaced += file.bytes;
      ++files;
    }
  }
  const fs::path next = plan.work / "jars-next";
  fs::remove_all(next);
  fs::copy(host_jars(plan), next);
  test::run_ok({"python3", VMFERRY_JARS_PY, "update", next.string(), "6"});
  std::uint64_t jar_bytes = 0;
  for (const auto& jar : fs::directory_iterator(next)) {
    replace_file(volume, "/Program Files/Shop/lib/" + jar.path().filename().string(),
                 as_bytes(read_host_file(jar.path())));
    jar_bytes += jar.file_size();
  }
  fs::remove_all(next);
  return {{"files", files}, {"replaced_bytes", replaced}, {"jar_bytes", jar_bytes}};
}

ChangeFacts save_documents(NtfsImage& volume, const KindsPlan& plan) {
  Random random(54);
  std::uint64_t saved = 0;
  std::uint64_t bytes = 0;
  for (unsigned i = 0; i < plan.documents; i += 2) {
    const Bytes content = changed_version(volume.read_file(kinds_document(i)), random.next());
    replace_file(volume, kinds_document(i), content);
    bytes += content.size();
    ++saved;
  }
  return {{"files", saved}, {"written_bytes", bytes}};
}

ChangeFacts rename_archive(NtfsImage& volume, const KindsPlan& plan) {
  volume.rename(kinds_archive, "/Data/Archive 2025 (closed)");
  return {{"files", plan.archive_files}};
}

ChangeFacts copy_files(NtfsImage& volume, const KindsPlan& plan) {
  std::uint64_t bytes = 0;
  const auto copy = [&](const std::string& from, const std::string& to) {
    const Bytes content = volume.read_file(from);
    volume.write_file(to, content);
    bytes += content.size();
  };
  copy(kinds_mailbox, "/Users/ann/Mail/inbox (copy).mbox");
  for (unsigned i = 0; i < plan.documents; i += 10)
    copy(kinds_document(i), "/Data/Copies/document " + std::to_string(i) + ".txt");
  return {{"copied_bytes", bytes}};
}

void collect_files(const NtfsImage& volume, const std::string& folder, std::vector<std::string>& found) {
  for (const test::NtfsListEntry& entry : volume.list(folder)) {
    const std::string path = folder + "/" + entry.name;
    if (entry.directory) {
      collect_files(volume, path, found);
    } else {
      found.push_back(path);
    }
  }
}

ChangeFacts defragment(NtfsImage& volume, const KindsPlan&) {
  std::vector<std::string> files;
  for (const char* folder : {"/Program Files", "/inetpub", "/Users", "/Data"}) collect_files(volume, folder, files);
  std::uint64_t moved = 0;
  std::uint64_t bytes = 0;
  for (const std::string& file : files) {
    if (!volume.move_clusters(file)) continue;
    bytes += volume.file_bytes(file);
    ++moved;
  }
  return {{"files", moved}, {"moved_bytes", bytes}};
}

ChangeFacts make_other_machine(NtfsImage& volume, const KindsPlan& plan) {
  volume.write_file("/ProgramData/machine.ini", "[machine]\r\nname=WEB-02\r\naddress=10.1.0.12\r\n");
  const Bytes settings = volume.read_file("/ProgramData/settings.hive");
  volume.write_file("/ProgramData/settings.hive", changed_version(settings, 55));
  const Bytes document = changed_version(volume.read_file(kinds_document(1)), 56);
  volume.write_file(kinds_document(1), document);
  ChangeFacts facts = append_logs(volume, plan);
  facts["changed_files"] = facts["files"] + 3;
  return facts;
}

ChangeFacts change_two_percent(NtfsImage& volume, const KindsPlan& plan) {
  Random random(57);
  std::vector<std::string> files;
  collect_files(volume, "/Data/Full", files);
  const std::uint64_t most = kinds_share(plan, 0.02);
  std::uint64_t changed = 0;
  std::uint64_t count = 0;
  while (changed < most && !files.empty()) {
    const std::size_t which = random.below(files.size());
    Bytes content = changed_version(volume.read_file(files[which]), random.next());
    const Bytes added = test::random_bytes(random.next(), 8 * KiB);
    const auto place = content.begin() + static_cast<std::ptrdiff_t>(random.below(content.size()));
    content.insert(place, added.begin(), added.end());
    content.resize(volume.file_bytes(files[which]));
    volume.overwrite(files[which], 0, content);  // in place: there is no room for two
    files.erase(files.begin() + static_cast<std::ptrdiff_t>(which));
    changed += content.size();
    ++count;
  }
  return {{"files", count}, {"changed_bytes", changed}, {"free_bytes", volume.free_bytes()}};
}

ChangeFacts change_nothing(NtfsImage&, const KindsPlan&) { return {}; }

}  // namespace

const std::vector<ChangeKind>& change_kinds() {
  static const std::vector<ChangeKind> kinds{
      {.name = "unchanged", .what = "mounted and unmounted", .change = change_nothing, .sent_bytes_most = 64 * KiB},
      {.name = "db-pages",
       .what = "1 % of a database's rows updated, pages written in place",
       .change = update_database},
      {.name = "log-append", .what = "logs grew by a fourteenth", .change = append_logs},
      {.name = "insert-middle", .what = "three mails inserted into a mailbox file", .change = insert_into_mailbox},
      {.name = "package-update", .what = "a quarter of the packages and all jars replaced", .change = update_packages},
      {.name = "save-as", .what = "half of the documents written anew, under the old names", .change = save_documents},
      {.name = "dir-rename", .what = "a directory of 10,000 files renamed", .change = rename_archive,
       .sent_bytes_most = 256 * KiB},
      {.name = "file-copy", .what = "a mailbox and some documents copied", .change = copy_files},
      {.name = "defrag", .what = "the same content in other clusters", .change = defragment},
      {.name = "clone", .what = "another machine made of the same disk", .change = make_other_machine,
       .other_machine = true},
      {.name = "nearly-full", .what = "97 % full, then 2 % changed in place", .change = change_two_percent,
       .from_full = true},
      {.name = "cracker-fails", .what = "db-pages, and $MFT's first record is broken", .change = update_database,
       .floor_of = "db-pages", .mft_corrupted = true},
  };
  return kinds;
}

}  // namespace vmferry::bench
