// FrameRepacker: of stored frames only some chunks are wanted: it makes new frames of these. One thread. Memory: the
// content of one frame read and of one made.
#pragma once

#include <functional>
#include <optional>
#include <span>

#include "protocol/frame.h"

namespace vmferry::target_server {

inline constexpr std::size_t frame_content_bytes = 512u << 10;  // of the frames that a target makes

class FrameRepacker {
 public:
  // key: chunks are checked against their ids (Error{damaged} names the one that is wrong). Without: whoever uses the
  // content checks it.
  FrameRepacker(int compression_level, std::optional<DomainKey> key, std::function<void(ByteView frame)> emit)
      : key_(key), builder_(compression_level), emit_(std::move(emit)) {}

  // wanted: indices into frame.chunks, ascending.
  void add(const FrameView& frame, std::span<const std::size_t> wanted);
  void finish();  // emits what is left

 private:
  const std::optional<DomainKey> key_;
  FrameDecoder decoder_;
  FrameBuilder builder_;
  std::function<void(ByteView)> emit_;
};

}  // namespace vmferry::target_server
