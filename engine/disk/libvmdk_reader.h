// LibvmdkReader: the adapter of libvmdk: reads a disk's bytes through it. Thread-safe: one handle serialises its
// readers, so it keeps several. docs/decisions/0002-libvmdk.md says when it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace vmferry::disk {

class LibvmdkReader {
 public:
  // Opens the descriptor, or the one sparse file, and its extents, which lie beside it. Throws Error{failed} with
  // libvmdk's own words.
  explicit LibvmdkReader(const std::filesystem::path& path);
  ~LibvmdkReader();

  std::uint64_t size_bytes() const noexcept;
  void read(std::uint64_t offset, std::span<std::byte> into) const;

 private:
  class Handle;
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

}  // namespace vmferry::disk
