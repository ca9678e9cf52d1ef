// FileReader: the child's side of VolumeFiles: what a file is, and where its content lies. Content that lies in the
// volume as it is, is told as pieces, which the parent reads itself; the rest is read here and sent.
#pragma once

#include <memory>

#include "engine/crack/cracker.h"
#include "engine/crack/event_codec.h"
#include "engine/crack/ntfs/file_record.h"
#include "engine/crack/ntfs/mft.h"
#include "engine/crack/ntfs/ntfs3g_volume.h"

namespace vmferry::crack {

class FileReader {
 public:
  explicit FileReader(VolumeReader& volume);

  VolumeFiles::FileFacts facts(MftReference record);
  // The unnamed $DATA in order, without what is sparse. Throws Error{unsupported} where facts() says why not.
  void read(MftReference record, EventWriter& events);

 private:
  void load(MftReference record);
  Bytes reparse_data();
  void send_runs(const StreamEntry& stream, EventWriter& events);
  void send_through_library(const StreamEntry& stream, EventWriter& events);
  void send_decompressed(const StreamEntry& stored, std::uint64_t bytes, std::uint32_t algorithm, EventWriter& events);

  VolumeReader& volume_;
  Mft mft_;
  Ntfs3gVolume mounted_;
  FileRecord file_;
};

}  // namespace vmferry::crack
