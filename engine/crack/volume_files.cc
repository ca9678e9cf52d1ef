#include <algorithm>

#include "engine/crack/event_codec.h"
#include "engine/crack/sandbox.h"
#include "protocol/error.h"

namespace vmferry::crack {
namespace {

constexpr std::size_t piece_bytes_max = std::size_t{1} << 20;
// For a child whose parent died while it looped; a living parent counts the time of each request.
constexpr std::chrono::hours cpu_time_max{24};

}  // namespace

struct VolumeFiles::State {
  State(VolumeBytes volume, const SandboxLimits& limits) : bytes(std::move(volume)), sandbox(bytes, limits, cpu_time_max) {}

  VolumeBytes bytes;
  Sandbox sandbox;
  std::vector<std::byte> buffer;
};

VolumeFiles::VolumeFiles(VolumeBytes bytes, const SandboxLimits& limits)
    : state_(std::make_unique<State>(std::move(bytes), limits)) {
  state_->sandbox.run(MessageKind::mount, 0, [](ByteView) {});
}

VolumeFiles::~VolumeFiles() = default;

VolumeFiles::FileFacts VolumeFiles::facts(MftReference record) {
  FileAnswerDecoder decoder(state_->bytes.size_bytes, {});
  state_->sandbox.run(MessageKind::file_facts, record, [&](ByteView buffer) { decoder.feed(buffer); });
  if (!decoder.facts()) throw Error(ErrorCode::malformed, "cannot read a file", {}, "the cracker gave no answer");
  return *decoder.facts();
}

void VolumeFiles::read(MftReference record,
                       const std::function<void(std::uint64_t offset, std::span<const std::byte>)>& use) {
  FileAnswerDecoder::Use answer;
  answer.data = [&](std::uint64_t file_offset, ByteView bytes) { use(file_offset, bytes); };
  answer.piece = [&](std::uint64_t file_offset, std::uint64_t volume_offset, std::uint64_t length) {
    state_->buffer.resize(piece_bytes_max);
    while (length > 0) {
      const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(length, piece_bytes_max));
      const std::span<std::byte> into(state_->buffer.data(), part);
      state_->bytes.read(volume_offset, into);
      use(file_offset, into);
      file_offset += part;
      volume_offset += part;
      length -= part;
    }
  };
  FileAnswerDecoder decoder(state_->bytes.size_bytes, std::move(answer));
  state_->sandbox.run(MessageKind::file_read, record, [&](ByteView buffer) { decoder.feed(buffer); });
}

}  // namespace vmferry::crack
