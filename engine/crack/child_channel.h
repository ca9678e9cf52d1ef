// ChildChannel: the child's side of the channel (engine/crack/channel.h): it asks the parent for the volume's bytes
// and gives events away. Where the parent is gone the process ends. One thread.
#pragma once

#include <array>
#include <string_view>

#include "engine/crack/channel.h"
#include "engine/crack/event_codec.h"
#include "engine/crack/volume_reader.h"

namespace vmferry::crack {

class ChildChannel final : public VolumeReader, public EventBuffers {
 public:
  // Takes over the two descriptors, maps the memory and closes its descriptor. Sizes come with `begin`.
  ChildChannel();

  // The next request. Ends the process when the parent has hung up.
  Message next_request();
  void set_volume_bytes(std::uint64_t size) { size_bytes_ = size; }
  void answer_finished();
  void answer_failed(FailureKind kind, std::string_view why);

  // VolumeReader: cached in the read slots; small reads in a row are read ahead.
  std::uint64_t size_bytes() const override { return size_bytes_; }
  void read(std::uint64_t offset, std::span<std::byte> into) override;
  void prefetch(std::uint64_t offset, std::uint64_t length) override;

  // EventBuffers.
  std::span<std::byte> next_buffer() override;
  void give(std::size_t length) override;

  std::byte* shared_memory() { return shared_; }

 private:
  struct Slot {
    std::uint64_t offset = 0, length = 0;
    std::uint64_t used_at = 0;
    bool in_flight = false;
  };

  void send(const Message& message);
  Message receive();
  void handle(const Message& message);
  const Slot* slot_with(std::uint64_t offset) const;
  std::size_t start_read(std::uint64_t offset, std::uint64_t length, std::uint64_t needed);

  std::byte* shared_ = nullptr;
  std::uint64_t size_bytes_ = 0;
  std::array<Slot, read_slots> slots_{};
  std::uint64_t tick_ = 0;
  std::uint64_t next_sequential_ = ~std::uint64_t{0};
  std::uint64_t read_ahead_bytes_ = 0;
  std::array<bool, event_buffers> buffer_with_parent_{};
  std::size_t current_buffer_ = 0;
};

}  // namespace vmferry::crack
