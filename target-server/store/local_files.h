// Local files: the one place from which the store writes to a disk. Every durable write is: write a temporary file,
// fsync it, rename it, fsync the directory. All throw Error (by errno: no_space, permission, not_found, ...).
// Thread-safe, no state.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/bytes.h"

namespace vmferry::store {

// An open file, closed with its owner.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) noexcept : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;

  int number() const noexcept { return number_; }
  bool is_open() const noexcept { return number_ >= 0; }
  void close() noexcept;

 private:
  int number_ = -1;
};

struct FileFacts {
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
};

enum class Existing { keep, replace };

Descriptor open_file(const std::filesystem::path& path, int flags, mode_t mode = 0600);
std::optional<Descriptor> open_if_there(const std::filesystem::path& path, int flags);
FileFacts facts_of(const Descriptor& file, const std::filesystem::path& path);
std::optional<FileFacts> facts_of(const std::filesystem::path& path);

// Fewer than into.size() bytes only at the file's end.
std::size_t read_at(const Descriptor& file, std::uint64_t offset, std::span<std::byte> into,
                    const std::filesystem::path& path);
Bytes read_whole(const std::filesystem::path& path, std::uint64_t bytes_max);  // Error{malformed} where it is longer
void write_at(const Descriptor& file, std::uint64_t offset, std::span<const ByteView> parts,
              const std::filesystem::path& path);
void truncate_file(const Descriptor& file, std::uint64_t size, const std::filesystem::path& path);
void sync_file(const Descriptor& file, const std::filesystem::path& path);
void sync_directory(const std::filesystem::path& path);

void make_directory(const std::filesystem::path& path);  // with its parents, 0700, durable; fine where it is there
// False where it is there already and is to be kept.
bool write_durably(const std::filesystem::path& path, ByteView content, Existing existing);
// False where `to` is there already. Both directories are synced; the file itself must be.
bool move_durably(const std::filesystem::path& from, const std::filesystem::path& to);
bool remove_durably(const std::filesystem::path& path);  // false where it is not there
void copy_durably(const std::filesystem::path& from, const std::filesystem::path& to);

// Names in a directory without temporary files; none where it is not there. Unsorted.
std::vector<std::string> names_in(const std::filesystem::path& directory);

}  // namespace vmferry::store
