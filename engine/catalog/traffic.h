// PointTraffic: why a backup sent what it sent, stream by stream, as the catalog keeps it and `vmferry explain` tells
// it. Values; docs/format/catalog.md has what is stored of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/point.h"

namespace vmferry::catalog {

// Of a point the rows that sent most are kept, of a machine in a store the newest points.
inline constexpr std::size_t traffic_rows_max = 50'000;
inline constexpr std::size_t traffic_points_max = 400;

// Bytes of content, but for what was sent. read = reused + delta + whole, unless something had to be sent twice.
struct TrafficBytes {
  std::uint64_t read = 0;
  std::uint64_t reused = 0;      // the target had it
  std::uint64_t delta = 0;       // of chunks that went as deltas
  std::uint64_t whole = 0;       // of chunks that went compressed or plain
  std::uint64_t sent = 0;        // what both took on the wire
  std::uint64_t delta_sent = 0;  // of it: the deltas
  TrafficBytes& operator+=(const TrafficBytes& other) noexcept;
  bool operator==(const TrafficBytes&) const = default;
};

enum class TrafficKind : std::uint8_t {
  file,    // the content of the file at `path`
  stream,  // another stream of it: "/Users/ann [index]", "/$Extend/$UsnJrnl:$J"
  rest,    // no file: `path` says what, in brackets: "[free and unowned clusters]"
};

struct TrafficRow {
  std::string disk;          // its key: "scsi0:1"; empty in a row of several disks
  std::uint32_t volume = 0;  // the partition's number; 0: in no volume
  TrafficKind kind = TrafficKind::file;
  std::string path;          // WTF-8 of the guest's names, '/' between; not a path to use
  std::uint64_t files = 1;   // streams that it counts together
  TrafficBytes bytes;
  bool operator==(const TrafficRow&) const = default;
};

struct TrafficPoint {
  Uuid store, machine, point;
  std::string machine_name;
  std::uint64_t number = 0;
  std::int64_t taken_ms = 0;
  std::uint64_t sent_bytes = 0;  // all that left this host: streams, trees, protocol
  TrafficBytes streams;          // all rows together
  TrafficBytes trees;            // metadata trees
  std::uint64_t unchanged_streams = 0, unchanged_bytes = 0;  // without rows
  bool operator==(const TrafficPoint&) const = default;

  // Whose traffic it is, and all that was sent: from the committed point.
  void identify(const Uuid& store_uuid, const RestorePoint& restore_point);
};

struct PointTraffic {
  TrafficPoint point;
  std::vector<TrafficRow> rows;
  bool operator==(const PointTraffic&) const = default;
};

// The rows that sent most (of equals, those that were read most), at most rows_max; one more, "[smaller ones]", has the
// sum of the others.
void keep_largest_rows(std::vector<TrafficRow>& rows, std::size_t rows_max);

// Rows as the catalog stores them: sorted by disk, volume and path, paths front-coded, all compressed.
struct PackedRows {
  Bytes packed;
  std::uint64_t bytes = 0;  // before compression
};
PackedRows pack_rows(std::vector<TrafficRow> rows);
// Throws Error{damaged}.
std::vector<TrafficRow> unpack_rows(ByteView packed, std::uint64_t bytes);

}  // namespace vmferry::catalog
