#include "protocol/control.h"

#include <algorithm>
#include <utility>

#include "protocol/messages.pb.h"

namespace vmferry::wire {

void send_control(PacketWriter& writer, const messages::Control& control) {
  const std::string text = control.SerializeAsString();
  writer.send(PacketType::control, {as_bytes(text)});
}

messages::Control parse_control(ByteView payload) {
  messages::Control control;
  if (!control.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
    throw Error(ErrorCode::malformed, "the peer broke the protocol", {}, "a control message cannot be read");
  return control;
}

void send_failure(PacketWriter& writer, std::uint64_t request, const Error& error) {
  messages::Control control;
  control.set_request(request);
  // A disk's or a file's name need not be UTF-8, which a proto3 string must be.
  const auto ascii = [](std::string text) {
    std::replace_if(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; }, '?');
    return text.substr(0, 4096);
  };
  control.mutable_failure()->set_code(std::string(error_code_name(error.code())));
  control.mutable_failure()->set_message(ascii(error.what()));
  control.mutable_failure()->set_object(ascii(error.object()));
  send_control(writer, control);
}

Error error_of_failure(const messages::Control& control) {
  const messages::Failure& failure = control.failure();
  return Error::as_told(error_code_from_name(failure.code()),
                        failure.message().empty() ? "the target failed" : failure.message(), failure.object());
}

std::string to_field(ByteView bytes) { return std::string(as_text(bytes)); }

Uuid uuid_of_field(const std::string& field) { return Uuid::from_bytes(as_bytes(field)); }

void put_summary(const PointSummary& summary, messages::PointSummary& message) {
  message.set_uuid(to_field(summary.uuid.view()));
  message.set_number(summary.number);
  message.set_machine_uuid(to_field(summary.machine_uuid.view()));
  message.set_client_uuid(to_field(summary.client_uuid.view()));
  message.set_machine_name(summary.machine_name);
  message.set_client_name(summary.client_name);
  message.set_source(static_cast<std::uint32_t>(summary.source));
  message.set_taken_ms(summary.taken_ms);
  message.set_arrived_ms(summary.arrived_ms);
  message.set_disk_bytes(summary.disk_bytes);
  message.set_data_bytes(summary.data_bytes);
  message.set_new_bytes(summary.new_bytes);
  message.set_stored_bytes(summary.stored_bytes);
  message.set_warnings(summary.warnings);
}

PointSummary summary_of(const messages::PointSummary& message) {
  if (message.source() > static_cast<std::uint32_t>(SourceKind::frozen))
    throw Error(ErrorCode::version, "a point in the target's list is of an unknown kind", {},
                "it was written by a newer vmferry: update this one");
  PointSummary summary;
  summary.uuid = uuid_of_field(message.uuid());
  summary.number = message.number();
  summary.machine_uuid = uuid_of_field(message.machine_uuid());
  summary.client_uuid = uuid_of_field(message.client_uuid());
  summary.machine_name = message.machine_name();
  summary.client_name = message.client_name();
  summary.source = static_cast<SourceKind>(message.source());
  summary.taken_ms = message.taken_ms();
  summary.arrived_ms = message.arrived_ms();
  summary.disk_bytes = message.disk_bytes();
  summary.data_bytes = message.data_bytes();
  summary.new_bytes = message.new_bytes();
  summary.stored_bytes = message.stored_bytes();
  summary.warnings = message.warnings();
  return summary;
}

void send_point(PacketWriter& writer, std::uint64_t request, const RestorePoint& point) {
  send_encoded_point(writer, request, encode_point(point));
}

void send_encoded_point(PacketWriter& writer, std::uint64_t request, ByteView encoded) {
  ByteView rest = encoded;
  do {
    const ByteView piece = rest.first(std::min(rest.size(), point_piece_bytes));
    rest = rest.subspan(piece.size());
    messages::Control control;
    control.set_request(request);
    control.mutable_point_piece()->set_piece(to_field(piece));
    control.mutable_point_piece()->set_last(rest.empty());
    send_control(writer, control);
  } while (!rest.empty());
}

std::optional<RestorePoint> PointAssembly::add(const messages::PointPiece& piece) {
  const std::optional<Bytes> whole = add_encoded(piece);
  if (!whole) return std::nullopt;
  return decode_point(*whole);
}

std::optional<Bytes> PointAssembly::add_encoded(const messages::PointPiece& piece) {
  const ByteView bytes = as_bytes(piece.piece());
  if (bytes.size() > limits::point_bytes_max - bytes_.size())
    throw Error(ErrorCode::malformed, "the peer broke the protocol", {}, "a restore point is past its limit");
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  if (!piece.last()) return std::nullopt;
  return std::exchange(bytes_, {});
}

}  // namespace vmferry::wire
