// The events of a volume as bytes: EventWriter packs them in the child, EventDecoder takes them apart in the
// parent. An event never crosses a buffer; a stream with many runs is several events. Whatever the child wrote,
// the decoder throws Error{malformed} before a sink sees an event that breaks volume_events.h's promises.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/crack/cracker.h"
#include "engine/crack/volume_events.h"
#include "protocol/bytes.h"

namespace vmferry::crack {

inline constexpr std::uint64_t runs_per_stream_max = std::uint64_t{1} << 22;
inline constexpr std::size_t name_units_max = 255;
inline constexpr std::size_t problems_max = 100;
inline constexpr std::size_t problem_bytes_max = 400;
inline constexpr std::size_t event_bytes_max = 4096;     // any event but runs and data
inline constexpr std::size_t data_event_bytes_max = 128 * 1024;

// Where an EventWriter puts its bytes.
class EventBuffers {
 public:
  virtual ~EventBuffers() = default;
  virtual std::span<std::byte> next_buffer() = 0;  // writable until give()
  virtual void give(std::size_t length) = 0;
};

class EventWriter {
 public:
  explicit EventWriter(EventBuffers& buffers) : buffers_(buffers) {}

  void volume(const VolumeFacts& facts);
  void stream(const StreamEvent& event);
  void file(const NameEntry& name);
  void kept(std::uint64_t lcn, std::uint64_t clusters);
  void allocated(std::uint64_t lcn, std::uint64_t clusters);
  void problem(std::string_view sentence);  // the decoder adds them to the totals; at most problems_max
  void done(const VolumeTotals& totals);    // without its problems
  // Files mode.
  void facts(const VolumeFiles::FileFacts& facts);
  void piece(std::uint64_t file_offset, std::uint64_t volume_offset, std::uint64_t length);
  void data(std::uint64_t file_offset, ByteView bytes);

  void flush();  // gives what is there

 private:
  void room(std::size_t bytes);
  void u8(std::uint8_t value) { *at_++ = static_cast<std::byte>(value); }
  void u64(std::uint64_t value);
  void varint(std::uint64_t value);
  void text(std::string_view value);
  void name(std::u16string_view value);

  EventBuffers& buffers_;
  std::byte* begin_ = nullptr;
  std::byte* at_ = nullptr;
  std::byte* end_ = nullptr;
  std::size_t problems_ = 0;
};

// Volume mode: gives checked events to a sink. feed() each buffer in order, then finish().
class EventDecoder {
 public:
  EventDecoder(std::uint64_t volume_bytes, VolumeSink& sink) : volume_bytes_(volume_bytes), sink_(sink) {}
  void feed(ByteView buffer);
  void finish() const;  // throws unless `done` has come

 private:
  void decode_one(ByteReader& in);
  void decode_volume(ByteReader& in);
  void decode_stream(ByteReader& in);
  void decode_runs(ByteReader& in);
  void decode_file(ByteReader& in);
  void decode_range(ByteReader& in, bool kept);
  void decode_done(ByteReader& in);
  void give_stream_if_whole();

  std::uint64_t volume_bytes_;
  VolumeSink& sink_;
  std::optional<VolumeFacts> facts_;
  std::optional<StreamEvent> stream_;
  std::uint64_t stream_runs_missing_ = 0;
  std::uint64_t stream_clusters_ = 0;
  std::optional<std::uint64_t> last_record_;
  std::uint64_t allocated_end_ = 0;
  bool allocated_seen_ = false;
  bool done_ = false;
  std::vector<std::string> problems_;
};

// Files mode: the answers to file_facts and file_read.
class FileAnswerDecoder {
 public:
  struct Use {
    // Bytes that lie as they are in the volume: [volume_offset, + length), within it.
    std::function<void(std::uint64_t file_offset, std::uint64_t volume_offset, std::uint64_t length)> piece;
    std::function<void(std::uint64_t file_offset, ByteView bytes)> data;
  };
  FileAnswerDecoder(std::uint64_t volume_bytes, Use use) : volume_bytes_(volume_bytes), use_(std::move(use)) {}
  void feed(ByteView buffer);
  const std::optional<VolumeFiles::FileFacts>& facts() const { return facts_; }

 private:
  void advance_to(std::uint64_t file_offset, std::uint64_t length);

  std::uint64_t volume_bytes_;
  Use use_;
  std::uint64_t at_ = 0;
  std::optional<VolumeFiles::FileFacts> facts_;
};

}  // namespace vmferry::crack
