// DecodedFrames: a store's frames, decoded, with those that were used last kept (bounded in what they take, of however
// little content). Thread-safe: a frame that several threads want at once is read and decoded once. The store must
// outlive it.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "target-server/store/store.h"

namespace vmferry::store {

class DecodedFrame {
 public:
  DecodedFrame(const FrameView& frame, FrameDecoder& decoder);
  std::optional<ByteView> find(const ChunkId& id) const;
  ByteView content() const noexcept { return {content_.get(), content_bytes_}; }
  std::size_t content_bytes() const noexcept { return content_bytes_; }
  std::size_t cost_bytes() const noexcept;  // what it takes to keep it

 private:
  struct Slice {
    ChunkId id;
    std::size_t offset, length;
  };
  std::size_t content_bytes_;
  std::unique_ptr<std::byte[]> content_;  // not zeroed before it is written: half a MiB for each frame
  std::vector<Slice> slices_;  // by id
};

class DecodedFrames {
 public:
  // key: every chunk is checked against its id before its frame is given out. Without: the frame's checksum only, for
  // who checks what it makes of the content.
  DecodedFrames(Store& store, std::size_t cost_bytes_max, std::optional<DomainKey> key);
  ~DecodedFrames();

  // Lives as long as it is held. Throws what Store::read_frame throws, Error{damaged} for content that is not right.
  std::shared_ptr<const DecodedFrame> get(const FrameLocation& location);

 private:
  struct Slot {
    std::mutex decoding;  // held over it; not while mutex_ is
    std::shared_ptr<const DecodedFrame> frame;
  };
  struct Entry {
    FrameLocation location;
    std::shared_ptr<Slot> slot;
    std::size_t cost_bytes = 0;  // 0 until it is decoded
  };
  using Entries = std::list<Entry>;  // the last used first

  std::shared_ptr<Slot> slot_of(const FrameLocation& location);
  std::shared_ptr<const DecodedFrame> decode(const FrameLocation& location);
  void keep(const FrameLocation& location, const std::shared_ptr<Slot>& slot, std::size_t cost_bytes);
  void forget(const FrameLocation& location, const std::shared_ptr<Slot>& slot);
  void erase(Entries::iterator entry);
  std::unique_ptr<FrameDecoder> take_decoder();

  Store& store_;
  const std::size_t cost_bytes_max_;
  const std::optional<DomainKey> key_;
  std::mutex mutex_;
  Entries entries_;
  std::map<FrameLocation, Entries::iterator> by_location_;
  std::size_t cost_bytes_ = 0;
  std::vector<std::unique_ptr<FrameDecoder>> idle_decoders_;  // as many as ever decoded at once
};

}  // namespace vmferry::store
