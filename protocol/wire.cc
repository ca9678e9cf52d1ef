#include "protocol/wire.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "protocol/checksum.h"
#include "protocol/delta_request.h"
#include "protocol/error.h"

namespace vmferry::wire {
namespace {

constexpr std::size_t receive_buffer_bytes = 256 * limits::KiB;
constexpr std::size_t number_bytes = 8;

template <std::size_t size>
void put_little_endian(std::span<std::byte, size> out, std::uint64_t value) {
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>((value >> (8 * i)) & 0xff);
}

std::uint64_t get_little_endian(ByteView in) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < in.size(); ++i) value |= std::to_integer<std::uint64_t>(in[i]) << (8 * i);
  return value;
}

NumberedIds parse_ids(ByteView payload, std::size_t count_min, std::size_t count_max) {
  NumberedIds parsed;
  parsed.number = take_number(payload);
  const std::size_t count = payload.size() / chunk_id_bytes;
  if (payload.size() % chunk_id_bytes != 0 || count < count_min || count > count_max)
    malformed("a list of chunk ids has a wrong length");
  parsed.ids.reserve(count);
  for (; !payload.empty(); payload = payload.subspan(chunk_id_bytes))
    parsed.ids.push_back(ChunkId::from_bytes(payload.first(chunk_id_bytes)));
  return parsed;
}

}  // namespace

std::size_t payload_bytes_max(PacketType type) noexcept {
  switch (type) {
    case PacketType::control: return limits::control_message_max;
    case PacketType::offer:
    case PacketType::fetch: return number_bytes + limits::offer_ids_max * chunk_id_bytes;
    case PacketType::want: return number_bytes + (limits::offer_ids_max + 7) / 8;
    case PacketType::frame: return limits::frame_stored_max;
    case PacketType::fetched: return number_bytes + limits::frame_stored_max;
    case PacketType::fetch_end: return number_bytes + limits::offer_ids_max * (chunk_id_bytes + 1);
    case PacketType::delta: return number_bytes + limits::delta_frame_max;
    case PacketType::fetch_deltas: return delta_request_bytes_max;
    case PacketType::fetched_delta: return number_bytes + limits::delta_frame_max;
    case PacketType::delta_done: return number_bytes + limits::frame_chunks_max * chunk_id_bytes;
  }
  return 0;
}

void PacketWriter::send(PacketType type, std::span<const ByteView> payload_parts) {
  std::size_t length = 0;
  for (const ByteView part : payload_parts) length += part.size();
  if (length > payload_bytes_max(type)) throw std::logic_error("a packet's payload is past its limit");

  std::array<std::byte, packet_header_bytes> header{};
  put_little_endian(std::span(header).first<4>(), length);
  header[4] = static_cast<std::byte>(type);
  std::vector<ByteView> parts;
  parts.reserve(payload_parts.size() + 2);
  parts.push_back(header);
  parts.insert(parts.end(), payload_parts.begin(), payload_parts.end());
  std::array<std::byte, packet_checksum_bytes> checksum{};
  put_little_endian(std::span(checksum), checksum64(parts));
  parts.push_back(checksum);

  const std::lock_guard lock(mutex_);
  transport_.send(parts);
}

PacketReader::PacketReader(Transport& transport) : transport_(transport), buffer_(receive_buffer_bytes) {}

std::optional<Packet> PacketReader::next(std::size_t payload_max) {
  if (!fill(packet_header_bytes)) return std::nullopt;
  const ByteView header = ByteView(buffer_).subspan(begin_, packet_header_bytes);
  const auto length = static_cast<std::size_t>(get_little_endian(header.first(4)));
  const auto type = static_cast<PacketType>(std::to_integer<std::uint8_t>(header[4]));
  const std::size_t type_max = payload_bytes_max(type);
  if (type_max == 0)
    malformed("packet type " + std::to_string(static_cast<unsigned>(type)) + " is unknown");
  if (get_little_endian(header.subspan(5, 3)) != 0) malformed("a packet's reserved bits are set");
  if (length > std::min(type_max, payload_max))
    malformed("a packet of " + std::to_string(length) + " bytes is past its limit");

  const std::size_t whole = packet_header_bytes + length + packet_checksum_bytes;
  fill(whole);
  const ByteView packet = ByteView(buffer_).subspan(begin_, whole);
  begin_ += whole;
  if (checksum64(packet.first(packet_header_bytes + length)) != get_little_endian(packet.last(packet_checksum_bytes)))
    throw Error(ErrorCode::unreachable, "the line damaged a packet", {}, "its checksum is wrong; try again");
  return Packet{type, packet.subspan(packet_header_bytes, length)};
}

bool PacketReader::fill(std::size_t bytes) {
  if (end_ - begin_ >= bytes) return true;
  if (begin_ == end_) begin_ = end_ = 0;
  if (buffer_.size() - begin_ < bytes) {
    if (buffer_.size() < bytes) {
      Bytes larger(bytes);
      std::memcpy(larger.data(), buffer_.data() + begin_, end_ - begin_);
      buffer_.swap(larger);
    } else {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    }
    end_ -= begin_;
    begin_ = 0;
  }
  while (end_ - begin_ < bytes) {
    const std::size_t received = transport_.receive(std::span(buffer_).subspan(end_));
    if (received == 0) {
      if (begin_ == end_ && bytes == packet_header_bytes) return false;
      throw Error(ErrorCode::unreachable, "the peer went away in the middle of a packet");
    }
    end_ += received;
  }
  return true;
}

Bytes encode_number(std::uint64_t number) {
  ByteWriter writer;
  writer.u64(number);
  return std::move(writer).take();
}

std::uint64_t take_number(ByteView& payload) {
  if (payload.size() < number_bytes) malformed("a packet is too short for its number");
  const std::uint64_t number = get_little_endian(payload.first(number_bytes));
  payload = payload.subspan(number_bytes);
  return number;
}

Bytes encode_numbered_ids(std::uint64_t number, std::span<const ChunkId> ids) {
  ByteWriter writer;
  writer.u64(number);
  for (const ChunkId& id : ids) writer.bytes(id.view());
  return std::move(writer).take();
}

void malformed(std::string why) {
  throw Error(ErrorCode::malformed, "the peer broke the protocol", {}, std::move(why));
}

NumberedIds parse_numbered_ids(ByteView payload) { return parse_ids(payload, 1, limits::offer_ids_max); }

NumberedIds parse_delta_done(ByteView payload) { return parse_ids(payload, 0, limits::frame_chunks_max); }

Bytes encode_want(std::uint64_t batch, const std::vector<bool>& wanted) {
  ByteWriter writer;
  writer.u64(batch);
  for (std::size_t i = 0; i < wanted.size(); i += 8) {
    unsigned bits = 0;
    for (std::size_t bit = 0; bit < 8 && i + bit < wanted.size(); ++bit)
      if (wanted[i + bit]) bits |= 1u << bit;
    writer.u8(static_cast<std::uint8_t>(bits));
  }
  return std::move(writer).take();
}

std::vector<bool> parse_want_bitmap(ByteView bitmap, std::size_t ids) {
  if (bitmap.size() != (ids + 7) / 8) malformed("a bitmap has a wrong length");
  const auto bit = [&](std::size_t i) { return (std::to_integer<unsigned>(bitmap[i / 8]) >> (i % 8) & 1u) != 0; };
  for (std::size_t i = ids; i < bitmap.size() * 8; ++i)
    if (bit(i)) malformed("a bitmap has bits past its end");
  std::vector<bool> wanted(ids);
  for (std::size_t i = 0; i < ids; ++i) wanted[i] = bit(i);
  return wanted;
}

Bytes encode_fetch_end(const FetchEnd& end) {
  ByteWriter writer;
  writer.u64(end.request);
  for (const FetchEnd::Failed& failed : end.failed) {
    writer.u8(static_cast<std::uint8_t>(failed.why));
    writer.bytes(failed.id.view());
  }
  return std::move(writer).take();
}

FetchEnd parse_fetch_end(ByteView payload) {
  FetchEnd end;
  end.request = take_number(payload);
  constexpr std::size_t each = 1 + chunk_id_bytes;
  if (payload.size() % each != 0) malformed("a list of failed chunks has a wrong length");
  end.failed.reserve(payload.size() / each);
  for (; !payload.empty(); payload = payload.subspan(each)) {
    const auto why = std::to_integer<std::uint8_t>(payload[0]);
    if (why > static_cast<std::uint8_t>(NotFetched::damaged)) malformed("an unknown reason for a failed chunk");
    end.failed.push_back({static_cast<NotFetched>(why), ChunkId::from_bytes(payload.subspan(1, chunk_id_bytes))});
  }
  return end;
}

}  // namespace vmferry::wire
