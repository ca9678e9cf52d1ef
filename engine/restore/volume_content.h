// VolumeContent: the files of one volume of a restore point, by MFT reference: facts and content, read in the cracker's
// sandbox over the image map. It is mounted at the first use, and again after an error: what went wrong with one file
// must not touch the next. One thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "engine/crack/cracker.h"
#include "engine/restore/image_reader.h"
#include "engine/restore/restore.h"

namespace vmferry::restore {

class VolumeContent {
 public:
  VolumeContent(const VolumeRow& row, target::TargetSession& session, const RestoreOptions& options);

  ImageReader& image() noexcept { return image_; }
  bool is_mounted() const noexcept { return files_ != nullptr; }

  using Use = std::function<void(std::uint64_t offset, std::span<const std::byte>)>;
  // `use` gets the unnamed stream in order, without what is sparse; not called where wanted(facts) says no.
  // With a second try in a fresh sandbox after Error{malformed}, `restarted` was called before `use` begins anew.
  struct Reading {
    std::function<bool(const crack::VolumeFiles::FileFacts&)> wanted;
    Use use;
    std::function<void()> restarted;
  };
  // Throws Error{unsupported} with left_out_seen() where a part of the file was left out of the backup; what the
  // volume, the store and the callbacks throw.
  void read(MftReference record, const Reading& reading);
  bool left_out_seen() const noexcept { return left_out_seen_; }

 private:
  ImageReader::LeftOut left_out() const;
  void mount();
  void read_once(MftReference record, const Reading& reading);

  const ByteRange volume_;
  const crack::SandboxLimits limits_;
  ImageReader image_;
  std::unique_ptr<crack::VolumeFiles> files_;
  std::size_t files_served_ = 0;  // since the mount
  bool reading_file_ = false;
  bool left_out_seen_ = false;
  bool callback_failed_ = false;
};

}  // namespace vmferry::restore
