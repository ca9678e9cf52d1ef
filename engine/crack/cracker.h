// Cracker: reads an NTFS volume in a child process that has nothing open but shared memory and a socket to its
// parent: no files, no network, seccomp, bounded memory and time. The child asks the parent for byte ranges of
// the volume. Whatever the guest wrote, the worst is an Error here. One thread per Cracker or VolumeFiles.
//
// The child is this same program: main() (and the main of each test program) must first call
// maybe_run_sandbox_child(argc, argv), which does not return in the child.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/crack/volume_events.h"
#include "protocol/file_index.h"

namespace vmferry::crack {

void maybe_run_sandbox_child(int argc, char** argv);

// Reads of the volume: offset within it. Called in the parent, on the caller's thread. Throws like Disk::read.
struct VolumeBytes {
  std::uint64_t size_bytes = 0;
  std::function<void(std::uint64_t offset, std::span<std::byte> into)> read;
  // What the child has not asked for yet but may: false where it cannot be had right, then it is asked for again when it
  // is needed. Optional: without it `read` serves that too.
  std::function<bool(std::uint64_t offset, std::span<std::byte> into)> read_ahead = {};
};

struct SandboxLimits {
  std::uint64_t memory_bytes_max = 512ULL << 20;
  std::chrono::seconds time_max{600};
};

// Cracks one volume and gives its events to `sink`. Throws Error{malformed} where it is no NTFS volume that we
// can read (corrupt, out of time or memory, the child crashed: the message says which), whatever the sink has
// seen by then; what the sink or `bytes.read` throws is rethrown.
void crack_volume(const VolumeBytes& bytes, const SandboxLimits& limits, VolumeSink& sink);

// VolumeFiles: reads files of a volume by MFT reference, in the same kind of sandbox, through libntfs-3g.
class VolumeFiles {
 public:
  VolumeFiles(VolumeBytes bytes, const SandboxLimits& limits);
  ~VolumeFiles();

  struct FileFacts {
    std::uint64_t data_bytes = 0;
    std::uint32_t attributes = 0;
    std::uint32_t reparse_tag = 0;
    NtfsTimes times;
    std::uint32_t named_streams = 0;
    bool has_acl = false;  // a security descriptor other than inherited defaults cannot be told: has any
    bool encrypted = false;
    bool sparse = false;
    bool compressed = false;  // LZNT1 or WOF
    // Why the data cannot be had right ("deduplicated by Windows Server: ..."); empty: it can. See DESIGN, invariant 10.
    std::string unreadable_because;
  };
  // Throws Error{malformed} for a record that cannot be read or is not in use (or another sequence number).
  FileFacts facts(MftReference record);
  // The unnamed data stream, in order; ranges that are sparse are skipped (not given), so a writer seeks over
  // them. WOF-compressed content comes decompressed. Throws Error{unsupported} where unreadable_because says so.
  void read(MftReference record, const std::function<void(std::uint64_t offset, std::span<const std::byte>)>& use);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vmferry::crack
