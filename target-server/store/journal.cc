#include "target-server/store/journal.h"

#include <fcntl.h>

#include <array>

#include "protocol/error.h"

namespace vmferry::store {

Journal::Journal(const std::filesystem::path& folder, const PackHeader& header)
    : header_(header), path_(folder / (header.pack.to_string() + ".pack")) {}

Journal Journal::create(const std::filesystem::path& folder, const PackHeader& header) {
  Journal journal(folder, header);
  const Bytes bytes = encode_pack_header(header);
  if (!write_durably(journal.path_, bytes, Existing::keep))
    throw Error(ErrorCode::exists, "a new pack's file is there already", journal.path_);
  journal.file_ = open_file(journal.path_, O_RDWR);
  journal.size_ = bytes.size();
  return journal;
}

Journal Journal::reopen(const std::filesystem::path& folder, Found found) {
  Journal journal(folder, found.header);
  journal.file_ = open_file(journal.path_, O_RDWR);
  journal.size_ = found.size;
  journal.chain_ = found.chain;
  journal.chunks_ = std::move(found.chunks);
  return journal;
}

std::uint64_t Journal::append(const FrameView& frame) {
  cut_torn_tail();
  const std::uint64_t offset = size_;
  torn_ = true;
  write_at(file_, offset, std::span(&frame.whole, 1), path_);
  torn_ = false;
  const auto length = static_cast<std::uint32_t>(frame.whole.size());
  size_ += length;
  chain_ = chain_frame(chain_, frame_checksum_of(frame.whole), length);
  for (const FrameChunk& chunk : frame.chunks) chunks_.push_back({chunk.id, offset, length});
  return offset;
}

void Journal::sync() { sync_file(file_, path_); }

std::uint64_t Journal::finish() {
  cut_torn_tail();
  std::vector<PackChunk> sorted = chunks_;
  sort_pack_chunks(sorted);
  const Bytes trailer = encode_pack_trailer(pack(), size_, sorted);
  const ByteView view = trailer;
  torn_ = true;
  write_at(file_, size_, std::span(&view, 1), path_);
  sync();
  return ByteReader(view.last(12), "a pack's footer").u64();
}

void Journal::cut_torn_tail() {
  if (!torn_) return;
  truncate_file(file_, size_, path_);
  torn_ = false;
}

}  // namespace vmferry::store
