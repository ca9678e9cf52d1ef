// The wire's version 1, byte for byte: what was written once must be written the same and read for ever. Files up to 23 are
// minor version 0: what a peer without features says, and is told. Set
// VMFERRY_REGENERATE_GOLDEN=1 to write the files anew. The packets are those of the exchange in docs/format/wire.md.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "protocol/control.h"
#include "protocol/delta_request.h"
#include "protocol/frame.h"
#include "protocol/messages.pb.h"
#include "protocol/wire.h"

namespace vmferry::wire {
namespace {

const std::filesystem::path golden_directory = std::filesystem::path(VMFERRY_SOURCE_DIR) / "tests/golden/wire/v1";

template <typename T>
T filled(unsigned char first) {
  T value;
  for (std::size_t i = 0; i < value.bytes.size(); ++i) value.bytes[i] = static_cast<std::byte>(first + i);
  return value;
}
std::string uuid_field(unsigned char first) { return to_field(filled<Uuid>(first).view()); }
const ChunkId first_id = filled<ChunkId>(0x40), second_id = filled<ChunkId>(0x80);

Bytes control_payload(std::uint64_t request, const std::function<void(messages::Control&)>& fill) {
  messages::Control control;
  control.set_request(request);
  fill(control);
  const std::string text = control.SerializeAsString();
  return Bytes(as_bytes(text).begin(), as_bytes(text).end());
}

struct Sample {
  std::string name;
  PacketType type;
  Bytes payload;
};

std::vector<Sample> samples() {
  std::vector<Sample> all;
  const auto control = [&](const char* name, std::uint64_t request, const auto& fill) {
    all.push_back({name, PacketType::control, control_payload(request, fill)});
  };
  control("01-hello", 0, [](messages::Control& c) {
    messages::Hello& hello = *c.mutable_hello();
    hello.set_magic(hello_magic);
    hello.set_major(1);
    hello.set_software("vmferry 0.1.0");
    hello.set_client_uuid(uuid_field(0x10));
    hello.set_client_name("host");
  });
  control("02-welcome", 0, [](messages::Control& c) {
    messages::Welcome& welcome = *c.mutable_welcome();
    welcome.set_major(1);
    welcome.set_software("vmferry 0.1.0");
    welcome.set_store_uuid(uuid_field(0x20));
    welcome.set_domain_uuid(uuid_field(0x30));
    welcome.set_domain_key(to_field(filled<ChunkId>(0xc0).view()));
    welcome.set_chunk_size_min(16 * 1024);
    welcome.set_chunk_size_average(64 * 1024);
    welcome.set_chunk_size_max(256 * 1024);
    welcome.set_gear_seed(0x0123456789abcdef);
  });
  control("03-open-backup", 1, [](messages::Control& c) {
    messages::OpenBackup& open = *c.mutable_open_backup();
    open.set_machine_uuid(uuid_field(0x50));
    open.set_machine_name("web1");
    open.add_disk_uuids(uuid_field(0x60));
    open.set_adopt(true);
    open.add_base_candidates(uuid_field(0x70));
  });
  control("04-backup-opened", 1, [](messages::Control& c) {
    c.mutable_backup_opened()->set_session(uuid_field(0x90));
    c.mutable_backup_opened()->set_bases(1);
  });
  const std::vector<ChunkId> ids = {first_id, second_id};
  all.push_back({"05-offer", PacketType::offer, encode_numbered_ids(2, ids)});
  all.push_back({"06-want", PacketType::want, encode_want(2, {false, true})});
  FrameBuilder builder(3);
  builder.add(second_id, as_bytes("vmferry"));
  const Bytes frame = builder.finish();
  all.push_back({"07-frame", PacketType::frame, frame});
  control("08-point-piece", 3, [](messages::Control& c) {
    c.mutable_point_piece()->set_piece("point");
    c.mutable_point_piece()->set_last(true);
  });
  control("09-commit", 3, [](messages::Control& c) { c.mutable_commit(); });
  control("10-missing", 3, [](messages::Control& c) {
    c.mutable_committed()->add_missing(to_field(first_id.view()));
    c.mutable_committed()->set_stored_bytes(71);
  });
  control("11-committed", 3, [](messages::Control& c) {
    c.mutable_committed()->set_committed(true);
    c.mutable_committed()->set_stored_bytes(71);
  });
  all.push_back({"12-fetch", PacketType::fetch, encode_numbered_ids(4, ids)});
  Bytes fetched = encode_number(4);
  fetched.insert(fetched.end(), frame.begin(), frame.end());
  all.push_back({"13-fetched", PacketType::fetched, fetched});
  all.push_back({"14-fetch-end", PacketType::fetch_end, encode_fetch_end({4, {{NotFetched::missing, first_id}}})});
  control("15-close-backup", 5, [](messages::Control& c) { c.mutable_close_backup(); });
  control("16-backup-closed", 5, [](messages::Control& c) { c.mutable_backup_closed(); });
  control("17-list-points", 6, [](messages::Control& c) { c.mutable_list_points(); });
  control("18-point-list", 6, [](messages::Control& c) {
    PointSummary point;
    point.uuid = filled<Uuid>(0xa0);
    point.number = 12;
    point.machine_uuid = filled<Uuid>(0x50);
    point.client_uuid = filled<Uuid>(0x10);
    point.machine_name = "web1";
    point.client_name = "host";
    point.source = SourceKind::frozen;
    point.taken_ms = 1'764'000'000'000;
    point.arrived_ms = 1'764'000'001'000;
    point.disk_bytes = 1 << 20;
    point.data_bytes = 4096;
    point.new_bytes = 512;
    point.stored_bytes = 300;
    point.warnings = 1;
    put_summary(point, *c.mutable_point_list()->add_points());
    c.mutable_point_list()->set_last(true);
  });
  control("19-get-point", 7, [](messages::Control& c) { c.mutable_get_point()->set_uuid(uuid_field(0xa0)); });
  control("20-verify", 8, [](messages::Control& c) { c.mutable_verify()->set_point(uuid_field(0xa0)); });
  control("21-verify-progress", 8, [](messages::Control& c) {
    c.mutable_verify_progress()->set_done_bytes(100);
    c.mutable_verify_progress()->set_total_bytes(200);
  });
  control("22-verified", 8, [](messages::Control& c) {
    c.mutable_verified()->set_chunks(2);
    c.mutable_verified()->set_bytes(14);
    c.mutable_verified()->add_damage("disk disk0 is damaged");
  });
  control("23-failure", 8, [](messages::Control& c) {
    c.mutable_failure()->set_code("not_found");
    c.mutable_failure()->set_message("there is no such point");
  });
  // Minor version 1.
  control("24-hello-deltas", 0, [](messages::Control& c) {
    messages::Hello& hello = *c.mutable_hello();
    hello.set_magic(hello_magic);
    hello.set_major(1);
    hello.set_minor(1);
    hello.set_features(feature_deltas);
    hello.set_software("vmferry 0.1.0");
    hello.set_client_uuid(uuid_field(0x10));
    hello.set_client_name("host");
  });
  Bytes delta = encode_number(9);  // to the wire, a delta frame is bytes
  const ByteView delta_frame = as_bytes("a delta frame");
  delta.insert(delta.end(), delta_frame.begin(), delta_frame.end());
  all.push_back({"25-delta", PacketType::delta, delta});
  all.push_back({"26-delta-done", PacketType::delta_done, encode_numbered_ids(9, std::span(&second_id, 1))});
  all.push_back({"27-delta-done-all", PacketType::delta_done, encode_numbered_ids(10, {})});
  control("28-committed-deltas", 3, [](messages::Control& c) {
    c.mutable_committed()->set_committed(true);
    c.mutable_committed()->set_stored_bytes(71);
    c.mutable_committed()->set_deltas(2);
    c.mutable_committed()->set_delta_chunks(3);
    c.mutable_committed()->set_whole_again(1);
  });
  // Minor version 2: copies between stores.
  control("40-hello-replica", 0, [](messages::Control& c) {
    messages::Hello& hello = *c.mutable_hello();
    hello.set_magic(hello_magic);
    hello.set_major(1);
    hello.set_minor(2);
    hello.set_features(feature_deltas | feature_replicas);
    hello.set_software("vmferry 0.1.0");
    hello.set_client_uuid(uuid_field(0x20));
    hello.set_client_name("host");
    hello.set_role(messages::REPLICA);
  });
  control("41-open-replica", 11, [](messages::Control& c) {
    messages::OpenReplica& open = *c.mutable_open_replica();
    open.set_client_uuid(uuid_field(0x10));
    open.set_machine_uuid(uuid_field(0x50));
    open.add_base_candidates(uuid_field(0xa0));
  });
  control("42-replica-opened", 11, [](messages::Control& c) {
    c.mutable_replica_opened()->set_session(uuid_field(0x90));
    c.mutable_replica_opened()->add_bases(uuid_field(0xa0));
  });
  control("43-commit-replica", 12, [](messages::Control& c) { c.mutable_commit_replica(); });
  const std::vector<ChunkWithBasis> with_bases = {{first_id, {second_id}}};
  all.push_back({"44-fetch-deltas", PacketType::fetch_deltas, encode_delta_request(13, with_bases)});
  Bytes fetched_delta = encode_number(13);
  fetched_delta.insert(fetched_delta.end(), delta_frame.begin(), delta_frame.end());
  all.push_back({"45-fetched-delta", PacketType::fetched_delta, fetched_delta});
  return all;
}

// Sends one packet through a real transport and gives back the bytes on it.
Bytes on_the_wire(const Sample& sample) {
  auto [one, other] = memory_transport();
  PacketWriter(*one).send(sample.type, {sample.payload});
  one->finish_sending();
  Bytes bytes;
  Bytes buffer(4096);
  while (const std::size_t count = other->receive(buffer))
    bytes.insert(bytes.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(count));
  return bytes;
}

std::string wrapped(const std::string& hex) {
  std::string text;
  for (std::size_t i = 0; i < hex.size(); i += 96) text += hex.substr(i, 96) + "\n";
  return text;
}

std::string read_hex(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string hex, line;
  while (std::getline(file, line)) hex += line;
  return hex;
}

TEST(WireGolden, EveryPacketOfVersion1IsWrittenAsItWasAndReadAgain) {
  const bool regenerate = std::getenv("VMFERRY_REGENERATE_GOLDEN") != nullptr;
  for (const Sample& sample : samples()) {
    SCOPED_TRACE(sample.name);
    const std::filesystem::path path = golden_directory / (sample.name + ".hex");
    const Bytes bytes = on_the_wire(sample);
    if (regenerate) {
      std::filesystem::create_directories(golden_directory);
      std::ofstream(path) << wrapped(to_hex(bytes));
    }
    ASSERT_TRUE(std::filesystem::exists(path));
    const Bytes golden = from_hex(read_hex(path));
    EXPECT_EQ(to_hex(bytes), to_hex(golden));

    auto [one, other] = memory_transport();
    const std::array<ByteView, 1> parts = {golden};
    one->send(parts);
    one->finish_sending();
    PacketReader reader(*other);
    const auto packet = reader.next();
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->type, sample.type);
    EXPECT_EQ(to_hex(packet->payload), to_hex(sample.payload));
    if (packet->type == PacketType::control) {
      EXPECT_NE(parse_control(packet->payload).body_case(), messages::Control::BODY_NOT_SET);
    }
    EXPECT_FALSE(reader.next());
  }
}

// The document's worked exchange is made of these files: a reader can trust it.
TEST(WireGolden, TheHexInTheDocumentIsTheGoldenHex) {
  std::ifstream file(std::filesystem::path(VMFERRY_SOURCE_DIR) / "docs/format/wire.md");
  std::stringstream text;
  text << file.rdbuf();
  std::string document = text.str();
  std::erase_if(document, [](char c) { return c == ' ' || c == '\n'; });
  for (const char* name : {"01-hello", "05-offer", "06-want", "07-frame", "09-commit", "14-fetch-end", "26-delta-done",
                           "27-delta-done-all", "40-hello-replica", "43-commit-replica",
                           "44-fetch-deltas"}) {
    const std::string hex = read_hex(golden_directory / (std::string(name) + ".hex"));
    ASSERT_FALSE(hex.empty()) << name;
    EXPECT_NE(document.find(hex), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace vmferry::wire
