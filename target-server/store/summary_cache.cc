#include "target-server/store/summary_cache.h"

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/sqlite.h"

namespace vmferry::store {
namespace {

constexpr std::uint8_t summary_version = 1;
constexpr const char* summary_schema =
    "CREATE TABLE IF NOT EXISTS summary(name BLOB PRIMARY KEY, size INTEGER NOT NULL, "
    "modified_ns INTEGER NOT NULL, facts BLOB NOT NULL) WITHOUT ROWID";

}  // namespace

struct SummaryCache::State {
  explicit State(const std::filesystem::path& file) : database(file, sqlite::Database::Mode::create,
                 {"the store's cache of summaries", "delete it: it is rebuilt from the points"}) {
    database.run(summary_schema);
  }
  sqlite::Database database;
};

SummaryCache::SummaryCache(const std::filesystem::path& file) {
  for (const bool retry : {true, false}) {
    try {
      state_ = std::make_unique<State>(file);
      return;
    } catch (const Error& error) {
      if (!retry || error.code() != ErrorCode::damaged) return;
      std::error_code ignored;
      for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(file.string() + suffix, ignored);
    }
  }
}
SummaryCache::~SummaryCache() = default;

std::map<std::string, SummaryCache::Entry> SummaryCache::load() noexcept {
  std::map<std::string, Entry> all;
  if (!state_) return all;
  try {
    sqlite::Statement rows(state_->database, "SELECT name, size, modified_ns, facts FROM summary");
    while (rows.step()) {
      Entry entry{{static_cast<std::uint64_t>(rows.number(1)), rows.number(2)}, decode_summary(rows.blob(3))};
      all.emplace(as_text(rows.blob(0)), std::move(entry));
    }
  } catch (const std::exception&) {
    all.clear();
  }
  return all;
}

void SummaryCache::put(std::span<const std::pair<std::string, Entry>> entries) noexcept {
  if (!state_ || entries.empty()) return;
  try {
    sqlite::Transaction transaction(state_->database, sqlite::Transaction::Kind::write);
    {
      sqlite::Statement row(state_->database, "INSERT OR REPLACE INTO summary VALUES(?1, ?2, ?3, ?4)");
      for (const auto& [name, entry] : entries) {
        const Bytes facts = encode_summary(entry.summary);
        row.bind(1, as_bytes(name))
            .bind(2, static_cast<std::int64_t>(entry.facts.size))
            .bind(3, entry.facts.modified_ns)
            .bind(4, ByteView(facts))
            .run();
      }
    }
    transaction.commit();
  } catch (const std::exception&) {
    // A full disk, or another process at it: the next listing reads these points themselves.
  }
}

void SummaryCache::remove(std::span<const std::string> names) noexcept {
  if (!state_ || names.empty()) return;
  try {
    sqlite::Transaction transaction(state_->database, sqlite::Transaction::Kind::write);
    {
      sqlite::Statement row(state_->database, "DELETE FROM summary WHERE name = ?1");
      for (const std::string& name : names) row.bind(1, as_bytes(name)).run();
    }
    transaction.commit();
  } catch (const std::exception&) {
    // A name that no file has any more is never asked for.
  }
}

Bytes encode_summary(const PointSummary& summary) {
  ByteWriter out;
  out.u8(summary_version);
  out.bytes(summary.uuid.view());
  out.varint(summary.number);
  out.bytes(summary.machine_uuid.view());
  out.bytes(summary.client_uuid.view());
  out.string(summary.machine_name);
  out.string(summary.client_name);
  out.u8(static_cast<std::uint8_t>(summary.source));
  out.u64(static_cast<std::uint64_t>(summary.taken_ms));
  out.u64(static_cast<std::uint64_t>(summary.arrived_ms));
  for (const std::uint64_t count : {summary.disk_bytes, summary.data_bytes, summary.new_bytes, summary.stored_bytes,
                                    summary.warnings})
    out.varint(count);
  return std::move(out).take();
}

PointSummary decode_summary(ByteView bytes) {
  ByteReader in(bytes, "a cached summary");
  if (in.u8() != summary_version) throw Error(ErrorCode::malformed, "a cached summary is of another version");
  PointSummary summary;
  summary.uuid = Uuid::from_bytes(in.bytes(16));
  summary.number = in.varint();
  summary.machine_uuid = Uuid::from_bytes(in.bytes(16));
  summary.client_uuid = Uuid::from_bytes(in.bytes(16));
  summary.machine_name = in.string(limits::name_bytes_max);
  summary.client_name = in.string(limits::name_bytes_max);
  summary.source = static_cast<SourceKind>(in.u8());
  summary.taken_ms = static_cast<std::int64_t>(in.u64());
  summary.arrived_ms = static_cast<std::int64_t>(in.u64());
  for (std::uint64_t* count : {&summary.disk_bytes, &summary.data_bytes, &summary.new_bytes, &summary.stored_bytes,
                               &summary.warnings})
    *count = in.varint();
  in.expect_end();
  return summary;
}

}  // namespace vmferry::store
