#include "tests/unit/backup/backup_fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "target-server/receive/serve_session.h"

namespace vmferry::backup {

LocalSession::LocalSession(store::Store& store, const target::ClientFacts& client, const test::BreakAfter& breaks) {
  auto [ours, theirs] = memory_transport();
  server_end_ = std::move(theirs);
  server_ = std::thread([this, &store] {
    try {
      target_server::serve_session(*server_end_, store);
    } catch (const Error&) {  // the line broke: some tests want that
    }
  });
  try {
    session_ = target::TargetSession::open(std::make_unique<test::BreakingTransport>(std::move(ours), breaks), client);
  } catch (...) {
    server_.join();
    throw;
  }
}

LocalSession::~LocalSession() {
  session_.reset();
  server_.join();
}

BackupTest::BackupTest() {
  store::Store::init(directory_ / "store");
  reopen_store();
}

void BackupTest::reopen_store() {
  store_.reset();
  store::StoreOptions options;
  options.reserve_fraction = 0;
  store_ = store::Store::open(directory_ / "store", options);
}

RestorePoint BackupTest::run_with(BackupOptions options, const Wrap& wrap, BackupEvents* events) {
  options.spool_directory = directory_.path();
  if (options.name.empty()) options.name = "web1";
  const Source source = Source::open(disk(), {});
  const auto catalog = catalog::Catalog::open(catalog_file());
  const catalog::ClientIdentity client = catalog->client();
  catalog::SignatureStore signatures(signature_file());
  options.signatures = &signatures;
  LocalSession local(*store_, target::ClientFacts{client.uuid, client.name});
  target::TargetSession& session = wrap ? wrap(local.session()) : local.session();
  BackupEvents silent;
  return run_backup(source, options, session, *catalog, events != nullptr ? *events : silent, cancel_);
}

Judged BackupTest::judge(const RestorePoint& point, std::size_t disk_index) {
  const PointDisk& described = point.disks.at(disk_index);
  const auto source = store_->chunk_source();
  const auto opened = disk::open_disk(disk());
  if (opened->size_bytes() != described.size_bytes) throw std::runtime_error("the point has another size");
  ImageMapReader reader(described.image_map, described.size_bytes, *source);
  Judged judged;
  std::uint64_t at = 0;
  for (auto entry = reader.at(0); entry; entry = reader.next()) {
    if (entry->disk.offset != at) throw std::runtime_error("the map has a gap at " + std::to_string(at));
    at = entry->disk.end();
    if (entry->kind == MapKind::free || entry->kind == MapKind::excluded) {
      judged.left_out += entry->disk.length;
      judged.left_out_ranges.push_back(entry->disk);
      continue;
    }
    Bytes now(static_cast<std::size_t>(entry->disk.length));
    opened->read(entry->disk.offset, now);
    if (entry->kind != MapKind::data) {
      if (!all_zero(now)) throw std::runtime_error("not zero at " + std::to_string(entry->disk.offset));
      judged.zero += entry->disk.length;
      continue;
    }
    judged.data += entry->disk.length;
    const Bytes chunk = get_chunk(*source, entry->chunk);
    const ByteView slice = ByteView(chunk).subspan(entry->chunk_offset, now.size());
    if (!std::equal(now.begin(), now.end(), slice.begin()))
      throw std::runtime_error("other bytes at " + std::to_string(entry->disk.offset));
  }
  if (at != described.size_bytes) throw std::runtime_error("the map ends at " + std::to_string(at));
  return judged;
}

void write_at(const std::filesystem::path& file, std::uint64_t offset, ByteView bytes) {
  const int descriptor = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const ssize_t written = pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  close(descriptor);
  if (written != static_cast<ssize_t>(bytes.size())) throw std::runtime_error("cannot write " + file.string());
}

Bytes read_at(const std::filesystem::path& file, std::uint64_t offset, std::size_t length) {
  Bytes bytes(length);
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t got = pread(descriptor, bytes.data(), length, static_cast<off_t>(offset));
  close(descriptor);
  if (got != static_cast<ssize_t>(length)) throw std::runtime_error("cannot read " + file.string());
  return bytes;
}

}  // namespace vmferry::backup
