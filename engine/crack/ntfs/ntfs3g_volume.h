// Ntfs3gVolume: the one adapter of libntfs-3g: a read-only mount over a VolumeReader. Lives in the sandbox. The
// range of $MFTMirr is served from $MFT, as any difference would make every mount fail. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/crack/cracker.h"
#include "engine/crack/ntfs/mft.h"

namespace vmferry::crack {

class Ntfs3gVolume {
 public:
  // Throws Error{malformed} where libntfs-3g does not mount it.
  Ntfs3gVolume(VolumeReader& volume, Mft& mft);
  ~Ntfs3gVolume();

  // What hiberfil.sys in the root says: asleep where Windows will resume from it (fast startup too).
  enum class Hiberfile { absent, awake, asleep };
  Hiberfile hiberfile();
  // "System Volume Information" holds the store of a persistent shadow copy.
  bool has_shadow_copies();

  // An open file. Throws Error{malformed} where the record is not in use with this sequence number.
  class File {
   public:
    ~File();
    File(File&&) noexcept;
    // Reads of the unnamed $DATA or a named stream, at most what is there. LZNT1 comes decompressed.
    std::size_t read(std::u16string_view stream, std::uint64_t offset, std::span<std::byte> into);
    // The whole reparse point: tag, length, reserved, data. Error{malformed} where it is longer than bytes_max.
    Bytes reparse_point(std::uint64_t bytes_max);

   private:
    friend class Ntfs3gVolume;
    struct State;
    explicit File(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };
  File open(MftReference reference);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmferry::crack
