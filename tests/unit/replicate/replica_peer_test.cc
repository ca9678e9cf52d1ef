// What a replica may say, and what it costs one that says something else: packets by hand.
#include <gmock/gmock.h>

#include "copy_fixture.h"
#include "protocol/control.h"
#include "protocol/delta_request.h"
#include "protocol/messages.pb.h"
#include "protocol/wire.h"

namespace vmferry::target_server {
namespace {

class ReplicaPeer : public CopyTest {
 protected:
  ReplicaPeer() : transport_(embedded_target(open(far()))), reader_(*transport_), writer_(*transport_) {}

  void say_hello(std::uint64_t features = wire::features, bool replica = true) {
    messages::Control control;
    messages::Hello& hello = *control.mutable_hello();
    hello.set_magic(wire::hello_magic);
    hello.set_major(wire::version_major);
    hello.set_minor(wire::version_minor);
    hello.set_features(features);
    hello.set_client_uuid(wire::to_field(test::uuid_of("replica").view()));
    hello.set_client_name("replica");
    if (replica) hello.set_role(messages::REPLICA);
    wire::send_control(writer_, control);
    ASSERT_TRUE(next().has_welcome());
  }

  messages::Control next() {
    const auto packet = reader_.next();
    EXPECT_TRUE(packet && packet->type == wire::PacketType::control);
    return packet ? wire::parse_control(packet->payload) : messages::Control();
  }

  messages::Control ask(const std::function<void(messages::Control&)>& fill, std::uint64_t request = 1) {
    messages::Control control;
    control.set_request(request);
    fill(control);
    wire::send_control(writer_, control);
    return next();
  }

  messages::Control open_machine() {
    return ask([](messages::Control& control) {
      control.mutable_open_replica()->set_client_uuid(wire::to_field(test::uuid_of("host").view()));
      control.mutable_open_replica()->set_machine_uuid(wire::to_field(test::uuid_of("web1").view()));
    });
  }

  messages::Control commit(const RestorePoint& point) {
    wire::send_point(writer_, 2, point);
    return ask([](messages::Control& control) { control.mutable_commit_replica(); }, 2);
  }

  RestorePoint small_point() const {
    RestorePoint point;
    point.uuid = test::uuid_of("a point");
    point.number = 7;
    point.machine_uuid = test::uuid_of("web1");
    point.machine_name = "web1";
    point.client_uuid = test::uuid_of("host");
    point.client_name = "host";
    point.domain_uuid = domain_;
    point.arrived_ms = 1'764'000'000'000;
    return point;
  }

  const Uuid domain_ = open(near())->domain().uuid;
  std::unique_ptr<Transport> transport_;
  wire::PacketReader reader_;
  wire::PacketWriter writer_;
};

TEST_F(ReplicaPeer, APointOfNoContentKeepsItsNumberAndTimes) {
  say_hello();
  ASSERT_TRUE(open_machine().has_replica_opened());
  EXPECT_TRUE(commit(small_point()).committed().committed());
  EXPECT_TRUE(commit(small_point()).committed().committed());  // again: for nothing
  RestorePoint other = small_point();
  other.uuid = test::uuid_of("another point");
  const messages::Control refused = commit(other);
  EXPECT_EQ(refused.failure().code(), "refused");
  transport_.reset();
  const auto store = open(far());
  EXPECT_EQ(store->points().size(), 1u);
  EXPECT_EQ(store->point(small_point().uuid), small_point());
}

TEST_F(ReplicaPeer, APointThatNamesWhatIsNotThereIsNotStored) {
  say_hello();
  open_machine();
  RestorePoint point = small_point();
  point.files.push_back({"web1.nvram", 5, {ChunkId{}}, {5}});
  const messages::Control answer = commit(point);
  EXPECT_FALSE(answer.committed().committed());
  EXPECT_EQ(answer.committed().missing_size(), 1);
  transport_.reset();
  EXPECT_TRUE(open(far())->points().empty());
}

TEST_F(ReplicaPeer, APointOfAnotherMachineThanIsOpenEndsTheSession) {
  say_hello();
  open_machine();
  RestorePoint point = small_point();
  point.machine_uuid = test::uuid_of("web2");
  const messages::Control answer = commit(point);
  EXPECT_EQ(answer.request(), 0u);
  EXPECT_EQ(answer.failure().code(), "malformed");
}

TEST_F(ReplicaPeer, APointOfAnotherDomainEndsTheSession) {
  say_hello();
  open_machine();
  RestorePoint point = small_point();
  point.domain_uuid = test::uuid_of("another domain");
  const messages::Control answer = commit(point);
  EXPECT_EQ(answer.request(), 0u);
  EXPECT_EQ(answer.failure().code(), "malformed");
}

TEST_F(ReplicaPeer, WithoutTheRoleNothingOfAReplicaIsAnswered) {
  say_hello(wire::features, false);
  EXPECT_EQ(open_machine().failure().code(), "refused");
  const std::vector<wire::ChunkWithBasis> chunks = {{ChunkId{}, {}}};
  writer_.send(wire::PacketType::fetch_deltas, {wire::encode_delta_request(3, chunks)});
  const messages::Control end = next();
  EXPECT_EQ(end.request(), 0u);
  EXPECT_EQ(end.failure().code(), "malformed");
}

TEST_F(ReplicaPeer, WithoutTheFeatureNeither) {
  say_hello(wire::feature_deltas);
  EXPECT_EQ(open_machine().failure().code(), "refused");
}

TEST_F(ReplicaPeer, ARequestForDeltasOfWhatIsNotThereEndsWithItsName) {
  say_hello();
  const std::vector<wire::ChunkWithBasis> chunks = {{test::make_content({}, {}, 1).ids().front(), {ChunkId{}}}};
  writer_.send(wire::PacketType::fetch_deltas, {wire::encode_delta_request(3, chunks)});
  const auto packet = reader_.next();
  ASSERT_TRUE(packet && packet->type == wire::PacketType::fetch_end);
  const wire::FetchEnd end = wire::parse_fetch_end(packet->payload);
  ASSERT_EQ(end.failed.size(), 1u);
  EXPECT_EQ(end.failed[0].id, chunks[0].id);
}

TEST(DeltaRequest, ComesBackAsItWasAndNothingElseIsOne) {
  const ChunkId one = chunk_id_of({}, as_bytes("one")), other = chunk_id_of({}, as_bytes("other"));
  const std::vector<wire::ChunkWithBasis> chunks = {{one, {other, one}}, {other, {}}};
  const Bytes payload = wire::encode_delta_request(9, chunks);
  const wire::DeltaRequest request = wire::parse_delta_request(payload);
  EXPECT_EQ(request.number, 9u);
  EXPECT_EQ(request.chunks, chunks);
  for (std::size_t length = 0; length < payload.size(); ++length) {
    if (length == 8 + 33 + 64) continue;  // the first chunk alone is one too
    EXPECT_THROW(wire::parse_delta_request(ByteView(payload).first(length)), Error) << length;
  }
  const std::vector<wire::ChunkWithBasis> too_much = {{one, std::vector<ChunkId>(9, other)}};
  EXPECT_THROW(wire::parse_delta_request(wire::encode_delta_request(9, too_much)), Error);
}

}  // namespace
}  // namespace vmferry::target_server
