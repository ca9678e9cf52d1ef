#include "engine/restore/volume_content.h"

#include "protocol/error.h"

namespace vmferry::restore {

VolumeContent::VolumeContent(const VolumeRow& row, target::TargetSession& session, const RestoreOptions& options)
    : volume_(row.volume->range), limits_(options.sandbox), image_(*row.disk, session, options.memory_bytes) {
  if (!range_fits(volume_.offset, volume_.length, row.disk->size_bytes))
    throw Error(ErrorCode::malformed, "a volume of the restore point lies outside of its disk", row.name);
}

ImageReader::LeftOut VolumeContent::left_out() const {
  return reading_file_ ? ImageReader::LeftOut::refused : ImageReader::LeftOut::zeros;
}

void VolumeContent::mount() {
  if (files_) return;
  crack::VolumeBytes bytes;
  bytes.size_bytes = volume_.length;
  bytes.read = [this](std::uint64_t offset, std::span<std::byte> into) {
    if (!range_fits(offset, into.size(), volume_.length))
      throw Error(ErrorCode::malformed, "a read past the end of the volume");
    try {
      image_.read(volume_.offset + offset, into, left_out());
    } catch (const Error& error) {
      callback_failed_ = true;
      left_out_seen_ = error.code() == ErrorCode::unsupported;
      throw;
    }
  };
  // Beside what is needed may lie what was left out, or is damaged: no business of this file.
  bytes.read_ahead = [this](std::uint64_t offset, std::span<std::byte> into) {
    return range_fits(offset, into.size(), volume_.length) &&
           image_.read_ahead(volume_.offset + offset, into, left_out());
  };
  reading_file_ = false;
  files_ = std::make_unique<crack::VolumeFiles>(std::move(bytes), limits_);
  files_served_ = 0;
}

void VolumeContent::read(MftReference record, const Reading& reading) {
  left_out_seen_ = false;
  callback_failed_ = false;
  const bool is_fresh = files_ == nullptr || files_served_ == 0;
  try {
    read_once(record, reading);
    return;
  } catch (const Error& error) {
    files_.reset();
    // The sandbox may have come to its end by what it did before; a fresh one has had nothing but this file.
    if (is_fresh || callback_failed_ || error.code() != ErrorCode::malformed) throw;
  } catch (...) {
    files_.reset();
    throw;
  }
  reading.restarted();
  try {
    read_once(record, reading);
  } catch (...) {
    files_.reset();
    throw;
  }
}

void VolumeContent::read_once(MftReference record, const Reading& reading) {
  mount();
  reading_file_ = true;
  const crack::VolumeFiles::FileFacts facts = files_->facts(record);
  if (reading.wanted(facts))
    files_->read(record, [&](std::uint64_t offset, std::span<const std::byte> content) {
      try {
        reading.use(offset, content);
      } catch (...) {
        callback_failed_ = true;
        throw;
      }
    });
  ++files_served_;
}

}  // namespace vmferry::restore
