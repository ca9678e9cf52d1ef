#include "engine/backup/point_builder.h"

namespace vmferry::backup {
namespace {

PointVolume describe_volume(const LayoutVolume& volume) {
  PointVolume point;
  point.partition = volume.partition.number;
  point.range = volume.partition.range;
  point.type = volume.partition.type;
  point.file_system = volume.cracked ? "ntfs" : volume.partition.signature;
  point.cracked = volume.cracked;
  point.bytes = volume.bytes;
  point.flags = volume.flags;
  if (!volume.cracked) return point;
  point.label = volume.facts.label;
  point.serial = volume.facts.serial;
  point.cluster_bytes = volume.facts.cluster_bytes;
  point.mft_record_bytes = volume.facts.mft_record_bytes;
  point.files = volume.totals.files;
  point.directories = volume.totals.directories;
  return point;
}

}  // namespace

PointDisk describe_disk(const SourceDisk& disk, const DiskIdentity& identity, const DiskLayout& layout) {
  const disk::DiskDescription& description = disk.disk->description();
  PointDisk point;
  point.key = disk.key;
  point.file_name = disk.file_name;
  point.uuid = identity.uuid;
  point.uuid_made_up = identity.made_up;
  point.size_bytes = disk.disk->size_bytes();
  point.format = description.format;
  point.adapter_type = description.adapter_type;
  point.cylinders = description.geometry.cylinders;
  point.heads = description.geometry.heads;
  point.sectors = description.geometry.sectors;
  point.descriptor = description.descriptor;
  point.ddb = description.ddb;
  point.bytes = layout.bytes();
  for (const LayoutVolume& volume : layout.volumes()) point.volumes.push_back(describe_volume(volume));
  return point;
}

std::vector<Warning> no_longer_cracked(const PointDisk* former, const PointDisk& now) {
  std::vector<Warning> warnings;
  if (former == nullptr) return warnings;
  for (const PointVolume& before : former->volumes) {
    if (!before.cracked) continue;
    for (const PointVolume& volume : now.volumes)
      if (volume.partition == before.partition && !volume.cracked)
        warnings.push_back(Warning{"volume_no_longer_cracked",
                                   now.key + " volume " + std::to_string(volume.partition),
                                   "its files were read last time and could not be this time: it was backed up whole, "
                                   "single files cannot be restored from this point"});
  }
  return warnings;
}

}  // namespace vmferry::backup
