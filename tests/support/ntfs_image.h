// NtfsImage: a real NTFS volume in a file, or in a range of a disk image, made by mkntfs and changed through
// libntfs-3g in this process: needs neither FUSE nor loop devices nor root.
//
//   NtfsImage::format(directory / "a.img", 64 * MiB);
//   NtfsImage image(directory / "a.img");
//   image.write_file("/Users/ann/notes.txt", text_bytes(1, 5000));   // makes the directories
//   image.close();
//
// Paths are UTF-8, from the volume's root, '/' between; looked up without regard to case where no exact match
// exists. Everything throws std::runtime_error. One thread per image. The file is complete after close().
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/byte_range.h"
#include "protocol/bytes.h"

namespace vmferry::test {

struct NtfsFormat {
  std::string label = "Data";
  std::uint32_t cluster_bytes = 4096;  // 512 to 2 MiB; compressed files need at most 4096
  std::uint32_t sector_bytes = 512;
};

enum class NtfsAccess { read_write, read_only };

// Bits for set_attributes.
inline constexpr std::uint32_t ntfs_read_only = 0x1;
inline constexpr std::uint32_t ntfs_hidden = 0x2;
inline constexpr std::uint32_t ntfs_system = 0x4;
inline constexpr std::uint32_t ntfs_archive = 0x20;

// 100 ns since 1601, as NTFS counts.
struct NtfsTimes {
  std::uint64_t created = 0;
  std::uint64_t modified = 0;
  std::uint64_t accessed = 0;
  std::uint64_t record_changed = 0;  // read only: a change of the others sets it to now
};
std::uint64_t ntfs_time_from_unix(std::int64_t seconds);

struct NtfsRun {
  static constexpr std::int64_t hole = -1;
  std::int64_t lcn = hole;
  std::uint64_t clusters = 0;
  bool operator==(const NtfsRun&) const = default;
};

struct NtfsListEntry {
  std::string name;
  std::uint64_t record = 0;  // MFT record number
  bool directory = false;
};

// A non-resident attribute of any record in use, system files and directories too.
struct NtfsStream {
  std::string path;  // the first of the file's names; empty where there is none
  std::uint64_t reference = 0;  // record number and, in the upper 16 bits, its sequence number
  std::uint32_t type = 0;       // 0x80: data
  std::string name;             // of the attribute
  bool directory = false;
  std::vector<ByteRange> ranges;  // its clusters from the volume's beginning, in stream order, without holes
  std::uint64_t record() const { return reference & 0xffff'ffff'ffff; }
};

class NtfsImage {
 public:
  // Makes `file` a sparse file of that size, formatted.
  static void format(const std::filesystem::path& file, std::uint64_t bytes, const NtfsFormat& how = {});
  // Formats a range of an existing disk image; the rest of it stays as it is. The range must be sector-aligned.
  static void format_range(const std::filesystem::path& disk, ByteRange where, const NtfsFormat& how = {});

  // The whole file, or a range of it. A hibernated volume is opened all the same; one whose $LogFile is not clean
  // only with read_only. Opening with read_write resets $LogFile.
  explicit NtfsImage(const std::filesystem::path& file, NtfsAccess access = NtfsAccess::read_write);
  NtfsImage(const std::filesystem::path& disk, ByteRange where, NtfsAccess access = NtfsAccess::read_write);
  ~NtfsImage();
  NtfsImage(NtfsImage&&) noexcept;
  NtfsImage& operator=(NtfsImage&&) noexcept;
  void close();  // unmounts; call it before the image is read by others. The destructor does it without errors

  // Directories. make_directory makes all that are missing on the way; so does everything that creates a file.
  void make_directory(std::string_view path);
  std::vector<NtfsListEntry> list(std::string_view path) const;  // without "." and "..", system files and short names
  bool exists(std::string_view path) const;

  // Files. write_file replaces the content of a file that exists; data past a few hundred bytes is non-resident.
  void write_file(std::string_view path, ByteView content);
  void write_file(std::string_view path, std::string_view text) { write_file(path, as_bytes(text)); }
  // For content larger than memory: `fill` is called in order for each piece of at most 1 MiB.
  void write_file(std::string_view path, std::uint64_t bytes,
                  const std::function<void(std::uint64_t offset, std::span<std::byte> piece)>& fill);
  // Reads the file of the host; keeps its modification time.
  void copy_from_host(const std::filesystem::path& source, std::string_view path);
  void overwrite(std::string_view path, std::uint64_t offset, ByteView content);  // past the end: a hole between
  void append(std::string_view path, ByteView content);
  void truncate(std::string_view path, std::uint64_t bytes);  // shorter, or longer with a hole
  Bytes read_file(std::string_view path) const;
  std::uint64_t file_bytes(std::string_view path) const;
  // Every piece becomes a run of its own (rounded up to clusters), with a free cluster after it.
  void write_fragmented(std::string_view path, ByteView content, std::size_t piece_bytes);
  // All files written a piece each in turn, each fragmented.
  void write_interleaved(const std::vector<std::pair<std::string, Bytes>>& files, std::size_t piece_bytes);
  // A sparse file: a hole of that size with pieces of data in it.
  void write_sparse(std::string_view path, std::uint64_t bytes,
                    const std::vector<std::pair<std::uint64_t, Bytes>>& pieces);
  void write_compressed(std::string_view path, ByteView content);                       // LZNT1, by libntfs-3g
  void write_stream(std::string_view path, std::string_view stream, ByteView content);  // the file must exist
  Bytes read_stream(std::string_view path, std::string_view stream) const;

  // As a defragmenter does: the same content in other clusters, in one run where there is room for it. Its record and
  // times stay. False where there is nothing to move: resident, sparse or compressed.
  bool move_clusters(std::string_view path);

  // Names.
  void rename(std::string_view from, std::string_view to);
  void remove(std::string_view path);       // a file's name, or an empty directory
  void remove_tree(std::string_view path);  // a directory and all that it holds
  void hard_link(std::string_view existing, std::string_view path);
  void set_short_name(std::string_view path, std::string_view dos_name);
  void make_symlink(std::string_view path, std::string_view target,
                    bool to_directory = false);                        // IO_REPARSE_TAG_SYMLINK
  void make_junction(std::string_view path, std::string_view target);  // target as in Windows: "C:\\Users"
  // Any other reparse point (WOF, deduplication, cloud): the data is what follows tag, length and reserved.
  void set_reparse_point(std::string_view path, std::uint32_t tag, ByteView data);

  // Attributes.
  void set_attributes(std::string_view path, std::uint32_t attributes);
  std::uint32_t attributes(std::string_view path) const;
  void set_times(std::string_view path, const NtfsTimes& times);
  NtfsTimes times(std::string_view path) const;

  // What a running Windows leaves in the root: hidden system files. Hibernated makes the header "hibr".
  void write_pagefile(std::uint64_t bytes, std::uint64_t seed);
  void write_swapfile(std::uint64_t bytes, std::uint64_t seed);
  void write_hiberfile(std::uint64_t bytes, std::uint64_t seed, bool hibernated);

  // The volume.
  // Fills this share of the free clusters with random bytes and frees them again.
  void dirty_free_space(double share, std::uint64_t seed);
  void set_dirty();  // the flag in $Volume that asks for chkdsk
  // Writes over $LogFile from its beginning, as the last thing before close(). Opening it again with read_write resets
  // it.
  void write_log_file(std::uint64_t offset, ByteView content);
  std::uint64_t log_file_bytes() const;

  // What judges need.
  std::uint32_t cluster_bytes() const;
  std::uint64_t cluster_count() const;
  std::uint64_t free_bytes() const;
  std::uint64_t record_number(std::string_view path) const;
  std::vector<NtfsRun> runs(std::string_view path, std::string_view stream = {}) const;
  // Ranges in bytes from the volume's beginning: a file's clusters in file order, without holes; all free clusters.
  std::vector<ByteRange> ranges(std::string_view path, std::string_view stream = {}) const;
  std::vector<ByteRange> free_ranges() const;
  // By record number. A record that cannot be read is left out.
  std::vector<NtfsStream> all_streams() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmferry::test
