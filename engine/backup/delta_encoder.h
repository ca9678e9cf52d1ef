// DeltaEncoder: a frame's worth of chunks as a delta against the bases of their runs, where that is worth it: stream
// chunks by signatures, tree nodes by the former nodes themselves. One thread; the signature store may be shared.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "engine/backup/frame_queue.h"
#include "engine/catalog/signature_store.h"
#include "protocol/delta/delta_frame.h"
#include "protocol/delta/matcher.h"

namespace vmferry::backup {

class DeltaEncoder {
 public:
  DeltaEncoder(catalog::SignatureStore& signatures, int compression_level)
      : signatures_(signatures), builder_(compression_level) {}

  void set_level(int compression_level) { builder_.set_level(compression_level); }

  struct Encoded {
    Bytes frame;
    std::vector<std::uint32_t> literal_bytes;  // of each chunk
  };
  // Nothing: send it whole.
  // whole_bytes: what the frame takes when it is sent whole; asked for only where a delta hardly pays.
  std::optional<Encoded> encode(const FrameWork& work, const std::function<std::size_t()>& whole_bytes);

 private:
  std::optional<Encoded> encode_streams(const FrameWork& work, const std::function<std::size_t()>& whole_bytes);
  std::optional<Encoded> encode_nodes(const FrameWork& work);

  catalog::SignatureStore& signatures_;
  delta::Matcher matcher_;
  delta::DeltaFrameBuilder builder_;
};

}  // namespace vmferry::backup
