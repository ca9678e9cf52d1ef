#include "protocol/point_rules.h"

#include <string>

#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry {
namespace {

constexpr std::size_t text_bytes_max = 4096;  // of a key, a label, a path
constexpr std::size_t ddb_entries_max = 4096;

class PointCheck {
 public:
  explicit PointCheck(const RestorePoint& point) : point_(point) {}

  void run() const {
    require(valid_machine_name(point_.machine_name), "the machine's name");
    require(valid_machine_name(point_.client_name), "the client's name");
    require(point_.source <= SourceKind::frozen, "the kind of source");
    require(is_text(point_.software), "the software's name");
    require(point_.disks.size() <= limits::disks_per_machine_max, "the number of disks");
    for (const PointDisk& disk : point_.disks) check_disk(disk);
    for (const PointFile& file : point_.files) check_file(file);
  }

 private:
  void require(bool holds, const std::string& what) const {
    if (!holds)
      throw Error(ErrorCode::malformed, "a restore point with something impossible in it",
                  point_.machine_name + "@" + std::to_string(point_.number), what);
  }

  static bool is_text(std::string_view text) {
    return text.size() <= text_bytes_max && text.find('\0') == std::string_view::npos;
  }

  void check_tree(const TreeRoot& root, const std::string& what) const {
    require(root.levels <= limits::tree_depth_max && (root.levels == 0) == (root.entries == 0), what);
  }

  void check_bytes(const KindBytes& bytes, std::uint64_t size, const std::string& what) const {
    std::uint64_t sum = 0;
    for (const std::uint64_t kind : {bytes.data, bytes.free, bytes.excluded, bytes.hole}) {
      require(kind <= size - sum, what);
      sum += kind;
    }
  }

  void check_disk(const PointDisk& disk) const {
    require(is_text(disk.key) && is_text(disk.file_name) && is_text(disk.format) && is_text(disk.adapter_type),
            "a text of a disk");
    const std::string of_disk = " of disk " + disk.key;
    require(disk.size_bytes <= limits::disk_bytes_max, "the size" + of_disk);
    require(disk.descriptor.size() <= limits::descriptor_bytes_max, "the descriptor" + of_disk);
    require(disk.ddb.size() <= ddb_entries_max, "the disk database" + of_disk);
    for (const auto& [name, value] : disk.ddb) require(is_text(name) && is_text(value), "the disk database" + of_disk);
    check_tree(disk.image_map, "the image map" + of_disk);
    check_bytes(disk.bytes, disk.size_bytes, "the bytes by kind" + of_disk);
    require(disk.volumes.size() <= limits::volumes_per_disk_max, "the number of volumes" + of_disk);
    std::uint64_t offset_before = 0;
    for (const PointVolume& volume : disk.volumes) {
      const std::string of_volume = " of volume " + std::to_string(volume.partition) + of_disk;
      require(range_fits(volume.range.offset, volume.range.length, disk.size_bytes), "the range" + of_volume);
      require(volume.range.offset >= offset_before, "the order" + of_volume);
      offset_before = volume.range.offset;
      require(is_text(volume.type) && is_text(volume.file_system) && is_text(volume.label), "a text" + of_volume);
      for (const std::string& flag : volume.flags) require(is_text(flag), "a flag" + of_volume);
      check_tree(volume.file_index, "the file index" + of_volume);
      require(volume.cracked || volume.file_index.levels == 0, "the file index" + of_volume);
      check_bytes(volume.bytes, volume.range.length, "the bytes by kind" + of_volume);
    }
  }

  // Its name becomes a file's at a restore.
  void check_file(const PointFile& file) const {
    require(!file.name.empty() && file.name.size() <= limits::name_bytes_max && file.name != "." &&
                file.name != ".." && file.name.find('/') == std::string::npos && is_text(file.name),
            "the name of a configuration file");
    require(file.chunks.size() == file.chunk_lengths.size(), "the chunks of " + file.name);
    std::uint64_t sum = 0;
    for (const std::uint32_t length : file.chunk_lengths) {
      require(length > 0 && length <= limits::chunk_size_max, "a chunk of " + file.name);
      sum += length;
    }
    require(sum == file.size_bytes, "the size of " + file.name);
  }

  const RestorePoint& point_;
};

}  // namespace

void check_point(const RestorePoint& point) { PointCheck(point).run(); }

}  // namespace vmferry
