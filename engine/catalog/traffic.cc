#include "engine/catalog/traffic.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "protocol/compression.h"
#include "protocol/error.h"

namespace vmferry::catalog {
namespace {

constexpr int level = 9;  // a few MiB at most, once a night
constexpr std::uint64_t bytes_max = 128u << 20;
constexpr std::size_t row_bytes_min = 12;
constexpr std::size_t path_bytes_max = 64 * 1024;

[[noreturn]] void throw_damaged(const std::string& why) {
  throw Error(ErrorCode::damaged, "the catalog's account of a backup cannot be read", {},
              why + "; the restore point is not concerned");
}

// Rows end and begin alike: what a path shares with the one before is only counted.
class RowWriter {
 public:
  explicit RowWriter(ByteWriter& out) : out_(out) {}

  void write(const TrafficRow& row, std::size_t disk) {
    out_.varint(disk);
    out_.varint(row.volume);
    out_.u8(static_cast<std::uint8_t>(row.kind));
    const std::string path = row.path.substr(0, path_bytes_max);
    const auto [mine, before] = std::mismatch(path.begin(), path.end(), path_.begin(), path_.end());
    const auto shared = static_cast<std::size_t>(mine - path.begin());
    out_.varint(shared);
    out_.varint(path.size() - shared);
    out_.bytes(as_bytes(std::string_view(path).substr(shared)));
    out_.varint(row.files);
    const TrafficBytes& bytes = row.bytes;
    for (const std::uint64_t value :
         {bytes.read, bytes.reused, bytes.delta, bytes.whole, bytes.sent, bytes.delta_sent})
      out_.varint(value);
    path_ = path;
  }

 private:
  ByteWriter& out_;
  std::string path_;
};

TrafficRow read_row(ByteReader& in, const std::vector<std::string>& disks, const std::string& path_before) {
  TrafficRow row;
  const std::uint64_t disk = in.varint();
  const std::uint64_t volume = in.varint();
  const std::uint8_t kind = in.u8();
  const std::uint64_t shared = in.varint();
  const std::uint64_t rest = in.varint();
  if (disk >= disks.size() || volume > UINT32_MAX || kind > static_cast<std::uint8_t>(TrafficKind::rest) ||
      shared > path_before.size() || rest > path_bytes_max - shared)
    throw_damaged("a row that cannot be");
  row.disk = disks[static_cast<std::size_t>(disk)];
  row.volume = static_cast<std::uint32_t>(volume);
  row.kind = static_cast<TrafficKind>(kind);
  const ByteView tail = in.bytes(rest);
  row.path = path_before.substr(0, static_cast<std::size_t>(shared));
  row.path += as_text(tail);
  row.files = in.varint();
  TrafficBytes& bytes = row.bytes;
  for (std::uint64_t* value : {&bytes.read, &bytes.reused, &bytes.delta, &bytes.whole, &bytes.sent, &bytes.delta_sent})
    *value = in.varint();
  return row;
}

}  // namespace

TrafficBytes& TrafficBytes::operator+=(const TrafficBytes& other) noexcept {
  read += other.read;
  reused += other.reused;
  delta += other.delta;
  whole += other.whole;
  sent += other.sent;
  delta_sent += other.delta_sent;
  return *this;
}

void TrafficPoint::identify(const Uuid& store_uuid, const RestorePoint& restore_point) {
  store = store_uuid;
  machine = restore_point.machine_uuid;
  point = restore_point.uuid;
  machine_name = restore_point.machine_name;
  number = restore_point.number;
  taken_ms = restore_point.taken_ms;
  sent_bytes = restore_point.report.sent_bytes;
}

void keep_largest_rows(std::vector<TrafficRow>& rows, std::size_t rows_max) {
  if (rows.size() <= rows_max) return;
  const auto end_of_kept = rows.begin() + static_cast<std::ptrdiff_t>(rows_max);
  std::nth_element(rows.begin(), end_of_kept, rows.end(), [](const TrafficRow& a, const TrafficRow& b) {
    return std::tie(a.bytes.sent, a.bytes.read) > std::tie(b.bytes.sent, b.bytes.read);
  });
  TrafficRow rest;
  rest.kind = TrafficKind::rest;
  rest.path = "[smaller ones]";
  rest.files = 0;
  for (auto row = end_of_kept; row != rows.end(); ++row) {
    rest.bytes += row->bytes;
    rest.files += row->files;
  }
  rows.erase(end_of_kept, rows.end());
  rows.push_back(std::move(rest));
}

PackedRows pack_rows(std::vector<TrafficRow> rows) {
  std::sort(rows.begin(), rows.end(), [](const TrafficRow& a, const TrafficRow& b) {
    return std::tie(a.disk, a.volume, a.path) < std::tie(b.disk, b.volume, b.path);
  });
  std::map<std::string, std::size_t> disks;
  for (const TrafficRow& row : rows) disks.emplace(row.disk, 0);
  ByteWriter out;
  out.varint(disks.size());
  for (std::size_t next = 0; auto& [key, number] : disks) {
    number = next++;
    out.string(key);
  }
  out.varint(rows.size());
  RowWriter writer(out);
  for (const TrafficRow& row : rows) writer.write(row, disks.at(row.disk));
  const Bytes plain = std::move(out).take();

  PackedRows result;
  result.bytes = plain.size();
  Compressor compressor(level);
  result.packed.resize(plain.size() + plain.size() / 128 + 1024);  // zstd's worst case is less
  const auto length = compressor.compress(plain, result.packed);
  if (!length) throw Error(ErrorCode::failed, "cannot compress the account of a backup");
  result.packed.resize(*length);
  return result;
}

std::vector<TrafficRow> unpack_rows(ByteView packed, std::uint64_t bytes) try {
  if (bytes > bytes_max) throw_damaged("it is too large");
  Bytes plain(static_cast<std::size_t>(bytes));
  std::string why;
  if (Decompressor().decompress(packed, plain, {}, why) != plain.size()) throw_damaged(why);
  ByteReader in(plain, "an account of a backup");
  const std::uint64_t disk_count = in.varint();
  if (disk_count > in.rest().size()) throw_damaged("more disks than bytes");
  std::vector<std::string> disks;
  for (std::uint64_t i = 0; i < disk_count; ++i) disks.emplace_back(in.string(path_bytes_max));
  const std::uint64_t count = in.varint();
  if (count > in.rest().size() / row_bytes_min) throw_damaged("more rows than bytes");
  std::vector<TrafficRow> rows;
  rows.reserve(static_cast<std::size_t>(count));
  const std::string none;
  for (std::uint64_t i = 0; i < count; ++i) rows.push_back(read_row(in, disks, rows.empty() ? none : rows.back().path));
  in.expect_end();
  return rows;
} catch (const Error& error) {
  if (error.code() == ErrorCode::malformed) throw_damaged(error.what());
  throw;
}

}  // namespace vmferry::catalog
