// Every bound that two sides must agree on, or that keeps hostile input from costing us memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vmferry::limits {

inline constexpr std::size_t KiB = 1024;
inline constexpr std::size_t MiB = 1024 * KiB;

// Chunks and frames.
inline constexpr std::size_t chunk_size_max = 1 * MiB;        // what any domain's parameters may reach
inline constexpr std::size_t frame_content_max = 2 * MiB;     // the sum of a frame's chunks, decompressed
inline constexpr std::size_t frame_chunks_max = 1024;
inline constexpr std::size_t frame_stored_max = frame_content_max + 64 * KiB;
// Deltas: what one delta frame may build on.
inline constexpr std::size_t delta_content_max = frame_content_max;
inline constexpr std::size_t delta_basis_max = 4 * MiB;       // the sum of its basis chunks
inline constexpr std::size_t delta_basis_chunks_max = 2048;
inline constexpr std::size_t delta_frame_max =
    frame_content_max + 64 * KiB + (frame_chunks_max + delta_basis_chunks_max) * 36;
// The wire.
inline constexpr std::size_t wire_payload_max = 4 * MiB;
inline constexpr std::size_t offer_ids_max = 4096;            // ids in one offer or fetch
inline constexpr std::size_t control_message_max = 4 * MiB;   // a protobuf message
// Trees.
inline constexpr std::size_t tree_node_max = 64 * KiB;
inline constexpr std::size_t tree_key_max = 1 * KiB + 64;  // a file index key with a name of 255 units takes 1031
inline constexpr std::size_t tree_value_max = 48 * KiB;
inline constexpr std::size_t tree_depth_max = 12;
// Points.
inline constexpr std::size_t base_points_max = 4;            // that one session leases
inline constexpr std::size_t point_bytes_max = 4 * MiB;
inline constexpr std::size_t disks_per_machine_max = 64;
inline constexpr std::size_t volumes_per_disk_max = 256;
inline constexpr std::size_t name_bytes_max = 255;            // of a machine, a client
inline constexpr std::size_t config_file_bytes_max = 1 * MiB;
// Disks.
inline constexpr std::uint64_t disk_bytes_max = std::uint64_t{1} << 46;  // 64 TiB
inline constexpr std::size_t descriptor_bytes_max = 1 * MiB;
inline constexpr std::size_t disk_chain_max = 256;            // a disk and its parents
inline constexpr std::size_t extents_max = 65536;

}  // namespace vmferry::limits
