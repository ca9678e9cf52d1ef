// Extent: one line of a descriptor: a piece of a link's bytes and where they are. All are thread-safe and
// read-only. locate() says what is at an offset; read() gives the bytes of a piece that holds data.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "engine/disk/source_file.h"
#include "engine/disk/table_cache.h"

namespace vmferry::disk {

class GrainCache;

struct Piece {
  enum class Kind {
    data,    // this link's
    zeros,   // this link says: zeros, whatever the parent holds
    absent,  // this link says nothing: ask the parent
  };
  Kind kind = Kind::absent;
  std::uint64_t length = 0;       // at least 1
  std::uint64_t file_offset = 0;  // of data: where the piece begins; of a compressed grain: its marker
};

class Extent {
 public:
  virtual ~Extent() = default;
  // What begins at `offset`, at most length_max (> 0) of it. ask_host: take the host file system's holes in a
  // flat file for zeros; a question worth its system calls for a map of holes, not for a read.
  virtual Piece locate(std::uint64_t offset, std::uint64_t length_max, bool ask_host) const = 0;
  // `piece` is what locate(offset, ...) gave, of kind data; into.size() <= piece.length.
  virtual void read(const Piece& piece, std::uint64_t offset, std::span<std::byte> into) const = 0;
};

// The caches that all extents of a disk share.
struct ExtentCaches {
  std::shared_ptr<OpenFiles> open_files;
  std::shared_ptr<TableCache> tables;
  std::shared_ptr<GrainCache> grains;
};

// Each checks what is cheap to check, and throws Error{malformed} or Error{unsupported}, naming the file.
// size_bytes is what the descriptor's line says.
std::unique_ptr<Extent> open_zero_extent();
std::unique_ptr<Extent> open_flat_extent(std::shared_ptr<const SourceFile> file, std::uint64_t file_offset,
                                         std::uint64_t size_bytes);
std::unique_ptr<Extent> open_hosted_sparse_extent(std::shared_ptr<const SourceFile> file, std::uint64_t size_bytes,
                                                  const ExtentCaches& caches);
std::unique_ptr<Extent> open_cowd_extent(std::shared_ptr<const SourceFile> file, std::uint64_t size_bytes,
                                         const ExtentCaches& caches);
std::unique_ptr<Extent> open_se_sparse_extent(std::shared_ptr<const SourceFile> file, std::uint64_t size_bytes,
                                              const ExtentCaches& caches);

}  // namespace vmferry::disk
