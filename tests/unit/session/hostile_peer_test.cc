// Peers that break the protocol, vanish, or lie: each side ends the session with a sentence and keeps its state.
#include <algorithm>

#include "protocol/checksum.h"
#include "protocol/compression.h"
#include "protocol/control.h"
#include "protocol/delta/delta_frame.h"
#include "protocol/frame.h"
#include "protocol/messages.pb.h"
#include "protocol/wire.h"
#include "tests/unit/session/session_fixture.h"

namespace vmferry::test {
namespace {

using wire::PacketType;

class HostilePeer : public SessionTest {
 protected:
  // A client that says what it likes after a proper hello.
  struct RawClient {
    std::unique_ptr<Transport> transport;
    wire::PacketWriter writer{*transport};
    wire::PacketReader reader{*transport};
  };

  std::unique_ptr<RawClient> raw_client(std::uint32_t major = wire::version_major, std::uint32_t minor = 0,
                                        std::uint64_t features = 0) {
    std::unique_ptr<RawClient> client(new RawClient{serve_end()});
    messages::Control control;
    control.mutable_hello()->set_magic(wire::hello_magic);
    control.mutable_hello()->set_major(major);
    control.mutable_hello()->set_minor(minor);
    control.mutable_hello()->set_features(features);
    control.mutable_hello()->set_client_uuid(wire::to_field(uuid_of("host").view()));
    wire::send_control(client->writer, control);
    return client;
  }
  messages::Control answer(RawClient& client) {
    const auto packet = client.reader.next();
    EXPECT_TRUE(packet);
    return packet ? wire::parse_control(packet->payload) : messages::Control();
  }
  void open_raw_backup(RawClient& client) {
    messages::Control control;
    control.set_request(1);
    control.mutable_open_backup()->set_machine_uuid(wire::to_field(uuid_of("web1").view()));
    control.mutable_open_backup()->set_machine_name("web1");
    wire::send_control(client.writer, control);
    EXPECT_TRUE(answer(client).has_backup_opened());
  }
};

TEST_F(HostilePeer, AClientOfANewerMajorVersionIsToldWhatToUpdate) {
  const auto client = raw_client(2);
  const messages::Control control = answer(*client);
  ASSERT_TRUE(control.has_failure());
  EXPECT_EQ(control.failure().code(), "version");
  EXPECT_NE(control.failure().message().find("update"), std::string::npos);
  client->transport->abort();
  EXPECT_EQ(served().substr(0, 7), "version");
}

TEST_F(HostilePeer, AClientOfANewerMinorVersionIsUnderstoodAtOurs) {
  const auto client = raw_client(wire::version_major, 7);
  const messages::Control control = answer(*client);
  ASSERT_TRUE(control.has_welcome());
  EXPECT_EQ(control.welcome().minor(), wire::version_minor);
  client->transport->abort();
}

TEST_F(HostilePeer, WhatIsNoVmferryClientIsRefused) {
  const auto end = serve_end();
  const std::array<ByteView, 1> parts = {as_bytes("GET / HTTP/1.1\r\nHost: target\r\n\r\n")};
  end->send(parts);
  end->finish_sending();
  EXPECT_EQ(served().substr(0, 9), "malformed");
}

TEST_F(HostilePeer, AFrameWhoseContentIsNotWhatItsIdSaysIsNeverStored) {
  const auto session = connect();
  session->open_backup(opening());
  const ChunkId id = chunk_id_of(session->facts().domain_key, as_bytes("what it should be"));
  FrameBuilder builder(1);
  builder.add(id, as_bytes("something else"));
  session->send_frame(builder.finish());
  EXPECT_EQ(error_of([&] { session->close_backup(); }).code(), ErrorCode::malformed);
  EXPECT_EQ(error_of([&] { session->points(); }).code(), ErrorCode::malformed) << "and the session is over";
  EXPECT_FALSE(store_->contains(std::span(&id, 1))[0]);
}

TEST_F(HostilePeer, FramesAndOffersWithoutAnOpenBackupEndTheSession) {
  for (const PacketType type : {PacketType::frame, PacketType::offer, PacketType::want, PacketType::fetch_end}) {
    const auto client = raw_client();
    EXPECT_TRUE(answer(*client).has_welcome());
    client->writer.send(type, {Bytes(8 + 32)});
    const messages::Control control = answer(*client);
    ASSERT_TRUE(control.has_failure());
    EXPECT_EQ(control.failure().code(), "malformed");
    EXPECT_EQ(control.request(), 0u);
    client->transport->abort();
  }
}

TEST_F(HostilePeer, ADeltaWithoutAnOpenBackupOrFromAClientThatDidNotSayThatItKnowsThemEndsTheSession) {
  for (const bool knows : {true, false}) {
    const auto client = raw_client(wire::version_major, knows ? 1 : 0, knows ? wire::feature_deltas : 0);
    EXPECT_EQ(answer(*client).welcome().features(), knows ? wire::feature_deltas : 0);
    if (!knows) open_raw_backup(*client);
    client->writer.send(PacketType::delta, {Bytes(8 + 100)});
    const messages::Control control = answer(*client);
    ASSERT_TRUE(control.has_failure());
    EXPECT_EQ(control.failure().code(), "malformed");
    client->transport->abort();
  }
}

// A delta in the right form whose payload is not what it says: the client learns why though it only waits.
TEST_F(HostilePeer, ADeltaThatNoSenderMakesEndsTheSessionAndSaysWhyToWhoOnlyWaits) {
  const auto client = raw_client(wire::version_major, 1, wire::feature_deltas);
  answer(*client);
  open_raw_backup(*client);
  const Bytes content = text_bytes(1, 1000);
  const ChunkId id = chunk_id_of(store_->domain().key, content);
  FrameBuilder basis_frame(1);
  basis_frame.add(id, content);
  client->writer.send(PacketType::frame, {basis_frame.finish()});
  const std::vector<FrameChunk> chunks = {{id, 1000}};
  const std::vector<delta::DeltaBasis> basis = {{id, 500}};
  const std::vector<delta::Copy> copies = {{0, 0, 500}};
  Bytes frame = delta::DeltaFrameBuilder(3).copies(chunks, content, basis, copies, limits::delta_frame_max);
  for (std::size_t at = frame.size() - 12; at < frame.size() - 8; ++at) frame[at] ^= std::byte{0x55};
  ByteWriter checksum;
  checksum.u64(checksum64(ByteView(frame).first(frame.size() - 8)));
  std::ranges::copy(checksum.view(), frame.end() - 8);
  client->writer.send(PacketType::delta, {wire::encode_number(1), frame});
  const auto packet = client->reader.next();
  ASSERT_TRUE(packet);
  // Changed literals make another chunk, which is wanted whole; all else is no delta.
  if (packet->type == PacketType::control) {
    EXPECT_EQ(wire::parse_control(packet->payload).failure().code(), "malformed");
  } else {
    EXPECT_EQ(wire::parse_delta_done(packet->payload).ids, std::vector<ChunkId>{id});
  }
  frame[0] = std::byte{'X'};
  if (packet->type == PacketType::delta_done) {
    client->writer.send(PacketType::delta, {wire::encode_number(2), frame});
    EXPECT_EQ(answer(*client).failure().code(), "malformed");
  }
  client->transport->abort();
  EXPECT_EQ(served().substr(0, 9), "malformed");
}

// A delta frame with whatever it is told to say, and a right checksum.
struct ForgedDelta {
  delta::DeltaKind kind = delta::DeltaKind::copies;
  std::uint32_t content_bytes = 1000;
  std::vector<FrameChunk> chunks;
  std::vector<delta::DeltaBasis> basis;
  Bytes payload;

  void pack(ByteView bytes) {
    Bytes packed(bytes.size() + 1000);
    packed.resize(Compressor(3).compress(bytes, packed).value());
    payload.insert(payload.end(), packed.begin(), packed.end());
  }
  Bytes bytes() const {
    ByteWriter out;
    out.bytes(as_bytes("VFD1"));
    out.u8(static_cast<std::uint8_t>(kind));
    out.u8(0);
    out.u16(static_cast<std::uint16_t>(chunks.size()));
    out.u16(static_cast<std::uint16_t>(basis.size()));
    out.u16(0);
    out.u32(content_bytes);
    out.u32(static_cast<std::uint32_t>(payload.size()));
    for (const FrameChunk& chunk : chunks) {
      out.bytes(chunk.id.view());
      out.u32(chunk.length);
    }
    for (const delta::DeltaBasis& part : basis) {
      out.bytes(part.id.view());
      out.u32(part.length);
    }
    out.bytes(payload);
    out.u64(checksum64(out.view()));
    return std::move(out).take();
  }
};

// unit: single bytes; one copy of `length` from `from`, after no literal.
Bytes one_copy(std::uint64_t length, std::uint64_t from) {
  ByteWriter out;
  out.u8(0);
  out.varint(1);
  out.varint(0);
  out.varint(length << 1);
  out.varint(from << 2);  // zigzag, then units
  return std::move(out).take();
}

TEST_F(HostilePeer, ForgedDeltasEachEndTheirSessionAndLeaveNothing) {
  const Bytes content = text_bytes(1, 1000);
  const ChunkId known = chunk_id_of(store_->domain().key, content);
  const ChunkId wanted = chunk_id_of(store_->domain().key, as_bytes("never"));
  const Bytes zeros(32 << 20);
  const ForgedDelta plain{.chunks = {{wanted, 1000}}, .basis = {{known, 1000}}, .payload = {}};
  const std::vector<std::pair<std::string, std::function<void(ForgedDelta&)>>> forgeries = {
      {"operations that unpack to 32 MiB", [&](ForgedDelta& delta) { delta.pack(zeros); }},
      {"literals that unpack to 32 MiB",
       [&](ForgedDelta& delta) {
         delta.pack(one_copy(900, 0));
         delta.pack(zeros);
       }},
      {"content that unpacks to 32 MiB",
       [&](ForgedDelta& delta) {
         delta.kind = delta::DeltaKind::prefix;
         delta.pack(zeros);
       }},
      {"content that is too short",
       [&](ForgedDelta& delta) {
         delta.kind = delta::DeltaKind::prefix;
         delta.pack(ByteView(zeros).first(999));
       }},
      {"a copy past the basis' end", [](ForgedDelta& delta) { delta.pack(one_copy(1000, 1)); }},
      {"a copy from before the basis",
       [](ForgedDelta& delta) {
         ByteWriter out;
         for (const unsigned value : {0, 1, 0, 2000, 2}) out.u8(static_cast<std::uint8_t>(value & 0x7f));
         delta.pack(out.view());
       }},
      {"a copy that is longer than any number", [](ForgedDelta& delta) { delta.pack(one_copy(1ULL << 62, 0)); }},
      {"a copy from farther than any number", [](ForgedDelta& delta) { delta.pack(one_copy(1000, 1ULL << 61)); }},
      {"a chunk of no bytes",
       [&](ForgedDelta& delta) {
         delta.chunks.push_back({known, 0});
         delta.pack(one_copy(1000, 0));
       }},
      {"chunks whose sum wraps around",
       [&](ForgedDelta& delta) {
         delta.chunks = {{known, 0xffffffff}, {wanted, 1001}};
         delta.pack(one_copy(1000, 0));
       }},
      {"a basis whose sum wraps around",
       [&](ForgedDelta& delta) {
         delta.basis = {{known, 0xffffffff}, {known, 1001}};
         delta.pack(one_copy(1000, 0));
       }},
      {"a basis chunk of no bytes",
       [&](ForgedDelta& delta) {
         delta.basis.push_back({known, 0});
         delta.pack(one_copy(1000, 0));
       }},
      {"more basis than is allowed",
       [&](ForgedDelta& delta) {
         delta.basis.assign(5, {known, limits::chunk_size_max});
         delta.pack(one_copy(1000, 0));
       }},
      {"more content than is allowed", [](ForgedDelta& delta) { delta.content_bytes = limits::frame_content_max + 1; }},
      {"no payload", [](ForgedDelta&) {}},
  };
  std::size_t session = 0;
  for (const auto& [name, forge] : forgeries) {
    SCOPED_TRACE(name);
    ForgedDelta delta = plain;
    forge(delta);
    const auto client = raw_client(wire::version_major, 1, wire::feature_deltas);
    answer(*client);
    open_raw_backup(*client);
    FrameBuilder basis_frame(1);
    basis_frame.add(known, content);
    client->writer.send(PacketType::frame, {basis_frame.finish()});
    client->writer.send(PacketType::delta, {wire::encode_number(1), delta.bytes()});
    const messages::Control control = answer(*client);
    ASSERT_TRUE(control.has_failure());
    EXPECT_EQ(control.failure().code(), "malformed");
    client->transport->abort();
    EXPECT_EQ(served(session++).substr(0, 9), "malformed");
    EXPECT_FALSE(store_->contains(std::span(&wanted, 1))[0]);
  }
}

// Numbers are the client's: one that it uses twice it gets answered twice. An empty delta is none.
TEST_F(HostilePeer, ADeltaNumberThatIsUsedTwiceConfusesOnlyWhoUsesIt) {
  const auto client = raw_client(wire::version_major, 1, wire::feature_deltas);
  answer(*client);
  open_raw_backup(*client);
  const Bytes content = text_bytes(1, 1000);
  const std::vector<FrameChunk> chunks = {{chunk_id_of(store_->domain().key, content), 1000}};
  const std::vector<delta::DeltaBasis> missing = {{ChunkId(), 500}};
  const Bytes frame = delta::DeltaFrameBuilder(3).copies(chunks, content, missing, {}, limits::delta_frame_max);
  for (int i = 0; i < 2; ++i) client->writer.send(PacketType::delta, {wire::encode_number(7), frame});
  for (int i = 0; i < 2; ++i) {
    const auto packet = client->reader.next();
    ASSERT_TRUE(packet);
    ASSERT_EQ(packet->type, PacketType::delta_done);
    const wire::NumberedIds done = wire::parse_delta_done(packet->payload);
    EXPECT_EQ(done.number, 7u);
    EXPECT_EQ(done.ids, std::vector<ChunkId>{chunks[0].id});
  }
  client->writer.send(PacketType::delta, {wire::encode_number(7)});
  EXPECT_EQ(answer(*client).failure().code(), "malformed");
  client->transport->abort();
}

TEST_F(HostilePeer, APointOfAnotherClientOrMachineIsNotCommitted) {
  for (int which = 0; which < 4; ++which) {
    const auto session = connect();
    session->open_backup(opening());
    Content content = make_content(session->facts(), {}, 3);
    if (which == 0) content.point.client_uuid = uuid_of("somebody else");
    if (which == 1) content.point.machine_uuid = uuid_of("another machine");
    if (which == 2) content.point.machine_name = "another name";
    if (which == 3) content.point.domain_uuid = uuid_of("another domain");
    send_wanted(*session, content);
    EXPECT_EQ(error_of([&] { session->commit(content.point); }).code(), ErrorCode::malformed) << which;
    EXPECT_TRUE(store_->points().empty());
  }
}

TEST_F(HostilePeer, APointWhoseMapDoesNotCoverTheDiskIsNotCommitted) {
  for (const std::int64_t off_by : {-512, 512, 1 << 20}) {
    const auto session = connect();
    session->open_backup(opening());
    Content content = make_content(session->facts(), {}, 200);
    PointDisk& disk = content.point.disks[0];
    disk.size_bytes = static_cast<std::uint64_t>(static_cast<std::int64_t>(disk.size_bytes) + off_by);
    disk.bytes.free = static_cast<std::uint64_t>(static_cast<std::int64_t>(disk.bytes.free) + off_by);
    send_wanted(*session, content);
    EXPECT_EQ(error_of([&] { session->commit(content.point); }).code(), ErrorCode::malformed) << off_by;
  }
  EXPECT_TRUE(store_->points().empty());
}

// The map of the base point, under a disk that has another size: nothing of it is new, so only the sizes can tell.
TEST_F(HostilePeer, AnUnchangedMapUnderADiskOfAnotherSizeIsNotCommitted) {
  const auto session = connect();
  session->open_backup(opening());
  Content content = make_content(session->facts(), {}, 200);
  ASSERT_TRUE(back_up(*session, content).committed);
  session->open_backup(opening());
  content.point.uuid = Uuid::random();
  content.point.disks[0].size_bytes += 512;
  content.point.disks[0].bytes.free += 512;
  EXPECT_EQ(error_of([&] { session->commit(content.point); }).code(), ErrorCode::malformed);
  EXPECT_EQ(store_->points().size(), 1u);
}

TEST_F(HostilePeer, ATreeWhoseRootLiesAboutItsEntriesIsNotCommitted) {
  const auto session = connect();
  session->open_backup(opening());
  Content content = make_content(session->facts(), {}, 200);
  ++content.point.disks[0].image_map.entries;
  send_wanted(*session, content);
  EXPECT_EQ(error_of([&] { session->commit(content.point); }).code(), ErrorCode::malformed);
}

TEST_F(HostilePeer, AClientThatVanishesInTheMiddleReleasesItsMachineAndLeavesWhatArrived) {
  auto session = connect();
  session->open_backup(opening());
  const Content content = make_content(session->facts(), {}, 100);
  auto other = connect();
  EXPECT_EQ(error_of([&] { other->open_backup(opening()); }).code(), ErrorCode::busy);
  for (const Bytes& frame : frames_of(content, content.ids())) session->send_frame(frame);
  std::promise<void> read_so_far;  // answers come in order: the frames have left the pipe
  session->offer({content.ids()[0]}, [&](target::WantBitmap) { read_so_far.set_value(); });
  read_so_far.get_future().wait();
  session->offer({content.ids()[0]}, [](target::WantBitmap) {});  // most likely unanswered: the end is an abort
  session.reset();
  served(0);
  other->open_backup(opening());
  EXPECT_EQ(send_wanted(*other, content), 0u);
  EXPECT_TRUE(other->commit(content.point).committed);
}

// --- and targets that misbehave

TEST(HostileTarget, ThatVanishesEndsEveryWaitingCallAndNamesItself) {
  std::future<void> target;
  auto session = connect_to(target, [](Transport& end) {
    wire::PacketReader reader(end);
    for (int i = 0; i < 3; ++i) reader.next();  // then it is gone
  });
  std::promise<target::WantBitmap> answered;
  session->offer({ChunkId()}, [&](target::WantBitmap bitmap) { answered.set_value(std::move(bitmap)); });
  std::promise<std::exception_ptr> done;
  session->fetch({ChunkId()}, [](const ChunkId&, ByteView) {}, [&](std::exception_ptr why) { done.set_value(why); });
  const Error error = error_of([&] { session->points(); });
  EXPECT_EQ(error.code(), ErrorCode::unreachable);
  EXPECT_NE(std::string(error.what()).find(uuid_of("store").to_string()), std::string::npos) << error.what();
  EXPECT_TRUE(answered.get_future().get().empty());
  EXPECT_NE(done.get_future().get(), nullptr);
  EXPECT_EQ(error_of([&] { session->send_frame(Bytes(10)); }).code(), ErrorCode::unreachable);
  EXPECT_EQ(error_of([&] { get_chunk(session->chunks(), ChunkId()); }).code(), ErrorCode::unreachable);
  target.get();
}

TEST(HostileTarget, ThatSendsAnotherChunksContentIsNotBelieved) {
  for (const bool ahead : {false, true}) {
    std::future<void> target;
    auto session = connect_to(target, [](Transport& end) {
      wire::PacketReader reader(end);
      wire::PacketWriter writer(end);
      const auto packet = reader.next();
      const wire::NumberedIds fetch = wire::parse_numbered_ids(packet->payload);
      FrameBuilder builder(1);
      builder.add(fetch.ids[0], as_bytes("not what the id says"));
      writer.send(PacketType::fetched, {wire::encode_number(fetch.number), builder.finish()});
      writer.send(PacketType::fetch_end, {wire::encode_fetch_end({fetch.number, {}})});
      reader.next();
    });
    const auto unused = [](const ChunkId&, ByteView) { ADD_FAILURE() << "it was used"; };
    if (ahead) {
      std::promise<std::exception_ptr> done;
      session->fetch({ChunkId()}, unused, [&](std::exception_ptr why) { done.set_value(why); });
      EXPECT_NE(done.get_future().get(), nullptr);
    } else {
      const std::vector<ChunkId> ids = {ChunkId()};
      EXPECT_EQ(error_of([&] { session->chunks().get(ids, unused); }).code(), ErrorCode::damaged);
    }
    session.reset();
    target.get();
  }
}

TEST(HostileTarget, ThatLeavesAChunkOutIsNoticed) {
  std::future<void> target;
  auto session = connect_to(target, [](Transport& end) {
    wire::PacketReader reader(end);
    const wire::NumberedIds fetch = wire::parse_numbered_ids(reader.next()->payload);
    wire::PacketWriter(end).send(PacketType::fetch_end, {wire::encode_fetch_end({fetch.number, {}})});
    reader.next();
  });
  EXPECT_EQ(error_of([&] { get_chunk(session->chunks(), ChunkId()); }).code(), ErrorCode::damaged);
  session.reset();
  target.get();
}

TEST(HostileTarget, ThatAnswersWhatWasNotAskedLosesTheSession) {
  std::future<void> target;
  auto session = connect_to(target, [](Transport& end) {
    wire::PacketReader reader(end);
    wire::PacketWriter(end).send(PacketType::want, {wire::encode_want(99, {true})});
    try {
      while (reader.next()) {
      }
    } catch (const Error&) {  // the client hung up
    }
  });
  EXPECT_EQ(error_of([&] { session->points(); }).code(), ErrorCode::malformed);
  target.get();
}

}  // namespace
}  // namespace vmferry::test
