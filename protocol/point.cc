#include "protocol/point.h"

#include <stdexcept>
#include <utility>

#include "protocol/checksum.h"
#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/point.pb.h"
#include "protocol/point_rules.h"

namespace vmferry {
namespace {

constexpr std::string_view point_magic = "VFP1";
constexpr std::uint32_t point_version = 1;
constexpr std::size_t header_bytes = 4 + 4 + 4;

std::string text_of(ByteView bytes) { return std::string(as_text(bytes)); }

// --- to the message

void put(wire::PointTree& to, const TreeRoot& from) {
  if (from.levels > 0) to.set_node(text_of(from.node.view()));
  to.set_levels(from.levels);
  to.set_entries(from.entries);
}

void put(wire::PointKindBytes& to, const KindBytes& from) {
  to.set_data(from.data);
  to.set_free(from.free);
  to.set_excluded(from.excluded);
  to.set_hole(from.hole);
}

void put(wire::PointVolumeRecord& to, const PointVolume& from) {
  to.set_partition(from.partition);
  to.set_offset(from.range.offset);
  to.set_length(from.range.length);
  to.set_type(from.type);
  to.set_file_system(from.file_system);
  to.set_cracked(from.cracked);
  to.set_label(from.label);
  to.set_serial(from.serial);
  to.set_cluster_bytes(from.cluster_bytes);
  to.set_mft_record_bytes(from.mft_record_bytes);
  to.set_files(from.files);
  to.set_directories(from.directories);
  put(*to.mutable_file_index(), from.file_index);
  put(*to.mutable_bytes(), from.bytes);
  for (const std::string& flag : from.flags) to.add_flags(flag);
}

void put(wire::PointDiskRecord& to, const PointDisk& from) {
  to.set_key(from.key);
  to.set_file_name(from.file_name);
  to.set_uuid(text_of(from.uuid.view()));
  to.set_uuid_made_up(from.uuid_made_up);
  to.set_size_bytes(from.size_bytes);
  to.set_format(from.format);
  to.set_adapter_type(from.adapter_type);
  to.set_cylinders(from.cylinders);
  to.set_heads(from.heads);
  to.set_sectors(from.sectors);
  to.set_descriptor_text(from.descriptor);
  for (const auto& [name, value] : from.ddb) {
    wire::PointDdbEntry& entry = *to.add_ddb();
    entry.set_name(name);
    entry.set_value(value);
  }
  put(*to.mutable_image_map(), from.image_map);
  for (const PointVolume& volume : from.volumes) put(*to.add_volumes(), volume);
  put(*to.mutable_bytes(), from.bytes);
}

void put(wire::PointFileRecord& to, const PointFile& from) {
  to.set_name(from.name);
  to.set_size_bytes(from.size_bytes);
  for (const ChunkId& chunk : from.chunks) to.mutable_chunks()->append(as_text(chunk.view()));
  for (const std::uint32_t length : from.chunk_lengths) to.add_chunk_lengths(length);
}

void put(wire::PointReport& to, const BackupReport& from) {
  to.set_disk_bytes(from.disk_bytes);
  to.set_read_bytes(from.read_bytes);
  to.set_files(from.files);
  to.set_chunks(from.chunks);
  to.set_new_chunks(from.new_chunks);
  to.set_new_bytes(from.new_bytes);
  to.set_sent_bytes(from.sent_bytes);
  to.set_received_bytes(from.received_bytes);
  to.set_stored_bytes(from.stored_bytes);
  to.set_elapsed_ms(from.elapsed_ms);
  to.set_delta_chunks(from.delta_chunks);
  to.set_delta_bytes(from.delta_bytes);
  to.set_delta_wire_bytes(from.delta_wire_bytes);
  to.set_node_wire_bytes(from.node_wire_bytes);
  to.set_whole_again_chunks(from.whole_again_chunks);
  for (const Warning& warning : from.warnings) {
    wire::PointWarning& record = *to.add_warnings();
    record.set_code(warning.code);
    record.set_object(warning.object);
    record.set_message(warning.message);
  }
  for (const std::string& note : from.notes) to.add_notes(note);
}

wire::PointRecord to_message(const RestorePoint& from) {
  wire::PointRecord to;
  to.set_uuid(text_of(from.uuid.view()));
  to.set_number(from.number);
  to.set_machine_uuid(text_of(from.machine_uuid.view()));
  to.set_machine_uuid_made_up(from.machine_uuid_made_up);
  to.set_machine_name(from.machine_name);
  to.set_client_uuid(text_of(from.client_uuid.view()));
  to.set_client_name(from.client_name);
  to.set_domain_uuid(text_of(from.domain_uuid.view()));
  to.set_source(static_cast<std::uint32_t>(from.source));
  to.set_taken_ms(from.taken_ms);
  to.set_arrived_ms(from.arrived_ms);
  to.set_exact(from.exact);
  to.set_is_vmx(from.is_vmx);
  for (const PointDisk& disk : from.disks) put(*to.add_disks(), disk);
  for (const PointFile& file : from.files) put(*to.add_files(), file);
  put(*to.mutable_report(), from.report);
  to.set_software(from.software);
  return to;
}

// --- from the message

[[noreturn]] void throw_bad_point(std::string_view why) {
  throw Error(ErrorCode::malformed, "cannot read a restore point", {}, std::string(why));
}

TreeRoot take(const wire::PointTree& from) {
  if (from.levels() > limits::tree_depth_max) throw_bad_point("a tree with too many levels");
  TreeRoot root;
  root.levels = static_cast<std::uint8_t>(from.levels());
  root.entries = from.entries();
  if (root.levels > 0) root.node = ChunkId::from_bytes(as_bytes(from.node()));
  return root;
}

KindBytes take(const wire::PointKindBytes& from) {
  return {.data = from.data(), .free = from.free(), .excluded = from.excluded(), .hole = from.hole()};
}

PointVolume take(const wire::PointVolumeRecord& from) {
  PointVolume to;
  to.partition = from.partition();
  to.range = {from.offset(), from.length()};
  to.type = from.type();
  to.file_system = from.file_system();
  to.cracked = from.cracked();
  to.label = from.label();
  to.serial = from.serial();
  to.cluster_bytes = from.cluster_bytes();
  to.mft_record_bytes = from.mft_record_bytes();
  to.files = from.files();
  to.directories = from.directories();
  to.file_index = take(from.file_index());
  to.bytes = take(from.bytes());
  to.flags.assign(from.flags().begin(), from.flags().end());
  return to;
}

PointDisk take(const wire::PointDiskRecord& from) {
  PointDisk to;
  to.key = from.key();
  to.file_name = from.file_name();
  to.uuid = Uuid::from_bytes(as_bytes(from.uuid()));
  to.uuid_made_up = from.uuid_made_up();
  to.size_bytes = from.size_bytes();
  to.format = from.format();
  to.adapter_type = from.adapter_type();
  to.cylinders = from.cylinders();
  to.heads = from.heads();
  to.sectors = from.sectors();
  to.descriptor = from.descriptor_text();
  for (const wire::PointDdbEntry& entry : from.ddb()) {
    if (!to.ddb.empty() && to.ddb.rbegin()->first >= entry.name()) throw_bad_point("a disk database out of order");
    to.ddb.emplace_hint(to.ddb.end(), entry.name(), entry.value());
  }
  to.image_map = take(from.image_map());
  for (const wire::PointVolumeRecord& volume : from.volumes()) to.volumes.push_back(take(volume));
  to.bytes = take(from.bytes());
  return to;
}

PointFile take(const wire::PointFileRecord& from) {
  PointFile to;
  to.name = from.name();
  to.size_bytes = from.size_bytes();
  const ByteView ids = as_bytes(from.chunks());
  if (ids.size() % chunk_id_bytes != 0) throw_bad_point("half a chunk id");
  for (std::size_t at = 0; at < ids.size(); at += chunk_id_bytes)
    to.chunks.push_back(ChunkId::from_bytes(ids.subspan(at, chunk_id_bytes)));
  to.chunk_lengths.assign(from.chunk_lengths().begin(), from.chunk_lengths().end());
  return to;
}

BackupReport take(const wire::PointReport& from) {
  BackupReport to;
  to.disk_bytes = from.disk_bytes();
  to.read_bytes = from.read_bytes();
  to.files = from.files();
  to.chunks = from.chunks();
  to.new_chunks = from.new_chunks();
  to.new_bytes = from.new_bytes();
  to.sent_bytes = from.sent_bytes();
  to.received_bytes = from.received_bytes();
  to.stored_bytes = from.stored_bytes();
  to.elapsed_ms = from.elapsed_ms();
  to.delta_chunks = from.delta_chunks();
  to.delta_bytes = from.delta_bytes();
  to.delta_wire_bytes = from.delta_wire_bytes();
  to.node_wire_bytes = from.node_wire_bytes();
  to.whole_again_chunks = from.whole_again_chunks();
  for (const wire::PointWarning& warning : from.warnings())
    to.warnings.push_back({warning.code(), warning.object(), warning.message()});
  to.notes.assign(from.notes().begin(), from.notes().end());
  return to;
}

RestorePoint from_message(const wire::PointRecord& from) {
  RestorePoint to;
  to.uuid = Uuid::from_bytes(as_bytes(from.uuid()));
  to.number = from.number();
  to.machine_uuid = Uuid::from_bytes(as_bytes(from.machine_uuid()));
  to.machine_uuid_made_up = from.machine_uuid_made_up();
  to.machine_name = from.machine_name();
  to.client_uuid = Uuid::from_bytes(as_bytes(from.client_uuid()));
  to.client_name = from.client_name();
  to.domain_uuid = Uuid::from_bytes(as_bytes(from.domain_uuid()));
  if (from.source() > static_cast<std::uint32_t>(SourceKind::frozen)) throw_bad_point("unknown kind of source");
  to.source = static_cast<SourceKind>(from.source());
  to.taken_ms = from.taken_ms();
  to.arrived_ms = from.arrived_ms();
  to.exact = from.exact();
  to.is_vmx = from.is_vmx();
  for (const wire::PointDiskRecord& disk : from.disks()) to.disks.push_back(take(disk));
  for (const wire::PointFileRecord& file : from.files()) to.files.push_back(take(file));
  to.report = take(from.report());
  to.software = from.software();
  return to;
}

}  // namespace

Bytes encode_point(const RestorePoint& point) {
  check_point(point);
  const std::string body = to_message(point).SerializeAsString();
  if (body.size() > limits::point_bytes_max - header_bytes - checksum64_bytes)
    throw std::logic_error("a restore point is too large");
  ByteWriter out;
  out.reserve(header_bytes + body.size() + checksum64_bytes);
  out.bytes(as_bytes(point_magic));
  out.u32(point_version);
  out.u32(static_cast<std::uint32_t>(body.size()));
  out.bytes(as_bytes(body));
  out.u64(checksum64(out.view()));
  return std::move(out).take();
}

RestorePoint decode_point(ByteView bytes) {
  if (bytes.size() > limits::point_bytes_max) throw_bad_point("it is too long");
  ByteReader in(bytes, "a restore point");
  if (as_text(in.bytes(point_magic.size())) != point_magic) throw_bad_point("it does not begin like one");
  if (const std::uint32_t version = in.u32(); version != point_version)
    throw Error(ErrorCode::version, "cannot read a restore point", "version " + std::to_string(version),
                "it was written by a newer vmferry: use that one");
  const std::uint32_t length = in.u32();
  if (in.rest().size() != length + checksum64_bytes)
    throw Error(ErrorCode::damaged, "a restore point's length is not what its header says");
  const ByteView body = in.bytes(length);
  if (in.u64() != checksum64(bytes.first(bytes.size() - checksum64_bytes)))
    throw Error(ErrorCode::damaged, "a restore point's checksum is wrong");
  wire::PointRecord message;
  if (!message.ParseFromArray(body.data(), static_cast<int>(body.size()))) throw_bad_point("not a point record");
  RestorePoint point = from_message(message);
  check_point(point);
  return point;
}

PointSummary summarize(const RestorePoint& point) {
  PointSummary summary;
  summary.uuid = point.uuid;
  summary.number = point.number;
  summary.machine_uuid = point.machine_uuid;
  summary.client_uuid = point.client_uuid;
  summary.machine_name = point.machine_name;
  summary.client_name = point.client_name;
  summary.source = point.source;
  summary.taken_ms = point.taken_ms;
  summary.arrived_ms = point.arrived_ms;
  for (const PointDisk& disk : point.disks) {
    summary.disk_bytes += disk.size_bytes;
    summary.data_bytes += disk.bytes.data;
  }
  summary.new_bytes = point.report.new_bytes;
  summary.stored_bytes = point.report.stored_bytes;
  summary.warnings = point.report.warnings.size();
  return summary;
}

}  // namespace vmferry
