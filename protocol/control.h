// Control messages on their way in and out of packets: parsing, sending, and the types that messages carry as bytes.
// Whoever builds or reads a message includes protocol/messages.pb.h in its .cc.
#pragma once

#include <exception>
#include <optional>
#include <string>

#include "protocol/error.h"
#include "protocol/point.h"
#include "protocol/uuid.h"
#include "protocol/wire.h"

namespace vmferry::messages {
class Control;
class PointPiece;
class PointSummary;
}  // namespace vmferry::messages

namespace vmferry::wire {

inline constexpr std::size_t point_piece_bytes = 1 * limits::MiB;
inline constexpr std::size_t summaries_per_message_max = 1024;

void send_control(PacketWriter& writer, const messages::Control& control);
messages::Control parse_control(ByteView payload);  // throws Error{malformed}, for no body too
void send_failure(PacketWriter& writer, std::uint64_t request, const Error& error);
Error error_of_failure(const messages::Control& control);  // control has a failure

std::string to_field(ByteView bytes);
Uuid uuid_of_field(const std::string& field);  // throws Error{malformed} unless it is 16 bytes

void put_summary(const PointSummary& summary, messages::PointSummary& message);
PointSummary summary_of(const messages::PointSummary& message);

// A point in PointPieces, and back.
void send_point(PacketWriter& writer, std::uint64_t request, const RestorePoint& point);
void send_encoded_point(PacketWriter& writer, std::uint64_t request, ByteView encoded);

class PointAssembly {
 public:
  // The point, once its last piece is there. Throws Error{malformed} past limits::point_bytes_max.
  std::optional<RestorePoint> add(const messages::PointPiece& piece);
  std::optional<Bytes> add_encoded(const messages::PointPiece& piece);  // as it came, not decoded
  bool empty() const noexcept { return bytes_.empty(); }

 private:
  Bytes bytes_;
};

}  // namespace vmferry::wire
