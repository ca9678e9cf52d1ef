#include "engine/crack/ntfs/log_records.h"

#include <algorithm>

#include "engine/crack/ntfs/little_endian.h"
#include "engine/crack/ntfs/record.h"
#include "engine/crack/ntfs/require.h"
#include "engine/crack/ntfs/runs.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

enum LogOperation : std::uint16_t {
  initialize_file_record = 0x02,
  write_end_of_file_record = 0x04,
  create_attribute = 0x05,
  delete_dirty_clusters = 0x0a,
  set_bits_in_bitmap = 0x15,
  clear_bits_in_bitmap = 0x16,
  operation_last_known = 0x25,
};

constexpr std::size_t client_header_bytes = 0x20;
constexpr std::size_t sector_bytes = 512;

class LogRecord {
 public:
  LogRecord(ByteView data, const LogGeometry& geometry, std::vector<ClusterRange>& named)
      : data_(data), geometry_(geometry), named_(named) {}

  void take() {
    require(data_.size() >= client_header_bytes, "a log record is too short");
    const std::uint16_t redo = le16(data_, 0), undo = le16(data_, 2);
    require(redo <= operation_last_known && undo <= operation_last_known, "a log record has an unknown operation");
    const ByteView redo_data = part(le16(data_, 4), le16(data_, 6));
    const ByteView undo_data = part(le16(data_, 8), le16(data_, 0x0a));
    take_target_clusters(le16(data_, 0x0e));
    take_operation(redo, redo_data);
    take_operation(undo, undo_data);
  }

 private:
  ByteView part(std::size_t offset, std::size_t length) const {
    if (length == 0) return {};
    require(range_fits(offset, length, data_.size()), "a log record's data lies outside it");
    return data_.subspan(offset, length);
  }

  void add(std::uint64_t lcn, std::uint64_t clusters) {
    if (lcn >= geometry_.clusters || clusters == 0) return;
    named_.push_back({lcn, std::min(clusters, geometry_.clusters - lcn)});
  }

  // The clusters of the page that the record changes: a replay writes there.
  void take_target_clusters(std::size_t count) {
    require(range_fits(client_header_bytes, 8 * count, data_.size()), "a log record's list of clusters is cut off");
    for (std::size_t i = 0; i < count; ++i) add(le64(data_, client_header_bytes + 8 * i), 1);
  }

  void take_operation(std::uint16_t operation, ByteView data) {
    switch (operation) {
      case set_bits_in_bitmap:
      case clear_bits_in_bitmap: take_bitmap_range(data); break;
      case delete_dirty_clusters:
        for (std::size_t at = 0; at + 16 <= data.size(); at += 16) add(le64(data, at), le64(data, at + 8));
        break;
      // Whatever is allocated is logged as bits as well, so these are a second net: taken where they can be read.
      case create_attribute:
      case write_end_of_file_record: take_attributes(AttributeWalk(data)); break;
      case initialize_file_record: take_file_record(data); break;
      default: break;
    }
  }

  // Bits of some bitmap: which one only a table elsewhere in the log tells, so all count as bits of $Bitmap.
  void take_bitmap_range(ByteView data) {
    if (data.empty()) return;  // the redo of a record that only undoes
    require(data.size() >= 8, "a log record's range of bits is cut off");
    const std::uint64_t target = checked_mul<std::uint64_t>(le64(data_, 0x18), geometry_.cluster_bytes, "a log record");
    const std::uint64_t within = le16(data_, 0x14) * sector_bytes + le16(data_, 0x10);
    const std::uint64_t first_byte = checked_add(target, within, "a log record");
    add(checked_add<std::uint64_t>(checked_mul<std::uint64_t>(first_byte, 8, "a log record"), le32(data, 0), "a log record"),
        le32(data, 4));
  }

  void take_attributes(AttributeWalk walk) {
    try {
      while (const auto attribute = walk.next()) {
        if (attribute->resident) continue;
        std::vector<StreamRun> runs;
        append_mapping_pairs(attribute->mapping_pairs, attribute->end_vcn - attribute->lowest_vcn, geometry_.clusters, runs);
        for (const StreamRun& run : runs) {
          if (run.lcn != StreamRun::run_hole) add(run.lcn, run.clusters);
        }
      }
    } catch (const Error&) {
    }
  }

  void take_file_record(ByteView data) {
    try {
      const RecordHeader header = parse_record_header(data);
      if (header.in_use) take_attributes(AttributeWalk(data, header));
    } catch (const Error&) {
    }
  }

  ByteView data_;
  const LogGeometry& geometry_;
  std::vector<ClusterRange>& named_;
};

}  // namespace

void append_clusters_of_log_record(ByteView client_data, const LogGeometry& geometry, std::vector<ClusterRange>& named) {
  LogRecord(client_data, geometry, named).take();
}

}  // namespace vmferry::crack
