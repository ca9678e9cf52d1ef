// Deltas through a real session into a real store: what can be rebuilt is, what cannot is wanted whole, and the backup
// ends well either way.
#include "protocol/delta/delta_frame.h"
#include "protocol/delta/matcher.h"
#include "protocol/delta/signature.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <thread>

#include "protocol/frame.h"
#include "protocol/wire.h"
#include "tests/unit/session/session_fixture.h"

namespace vmferry::test {
namespace {

constexpr std::uint32_t chunk_bytes = 16'000, edit_at = 7'000, edit_bytes = 100;
constexpr std::size_t run_chunks = 10, no_limit = limits::delta_frame_max;

using Whole = std::optional<std::vector<ChunkId>>;

// A day and the next: of each chunk of the next one, 100 bytes differ.
class Deltas : public SessionTest {
 protected:
  void SetUp() override {
    session_ = connect();
    session_->open_backup(opening());
    for (std::size_t i = 0; i < 40; ++i) {
      former_bytes_.push_back(random_bytes(i, chunk_bytes));
      new_bytes_.push_back(former_bytes_.back());
      std::ranges::copy(random_bytes(1000 + i, edit_bytes), new_bytes_.back().begin() + edit_at);
    }
    former_ = content_of(session_->facts(), {}, former_bytes_);
    new_ = content_of(session_->facts(), {}, new_bytes_);
  }

  void back_up_former_day() {
    ASSERT_TRUE(back_up(*session_, former_).committed);
    session_->open_backup(opening());
  }

  ChunkId id_of(ByteView bytes) const { return chunk_id_of(session_->facts().domain_key, bytes); }

  // The new chunks [first, first + run_chunks) by the former ones at their place.
  struct Run {
    std::vector<FrameChunk> chunks;
    std::vector<delta::DeltaBasis> basis;
    std::vector<delta::Copy> copies;
    Bytes content, basis_content;

    Bytes as_copies() const { return delta::DeltaFrameBuilder(3).copies(chunks, content, basis, copies, no_limit); }
    Bytes as_prefix() const {
      return delta::DeltaFrameBuilder(3).prefix(chunks, content, basis, basis_content, no_limit);
    }
  };
  Run run_at(std::size_t first) const {
    Run run;
    for (std::size_t i = first; i < first + run_chunks; ++i) {
      const auto at = static_cast<std::uint32_t>(run.content.size());
      run.copies.push_back({at, at, edit_at});
      run.copies.push_back({at + edit_at + edit_bytes, at + edit_at + edit_bytes, chunk_bytes - edit_at - edit_bytes});
      run.chunks.push_back({id_of(new_bytes_[i]), chunk_bytes});
      run.basis.push_back({id_of(former_bytes_[i]), chunk_bytes});
      run.content.insert(run.content.end(), new_bytes_[i].begin(), new_bytes_[i].end());
      run.basis_content.insert(run.basis_content.end(), former_bytes_[i].begin(), former_bytes_[i].end());
    }
    return run;
  }

  // Sends one and waits for its answer.
  Whole answer_to(ByteView delta_frame) {
    std::promise<Whole> answered;
    session_->send_delta(delta_frame, [&](Whole whole) { answered.set_value(std::move(whole)); });
    return answered.get_future().get();
  }

  // Sends what is still wanted, commits, and reads all of it back.
  target::CommitResult commit_the_rest(std::size_t wanted_data_chunks) {
    std::vector<ChunkId> data;
    for (const Bytes& bytes : new_bytes_) data.push_back(id_of(bytes));
    const std::vector<bool> there = store_->contains(data);
    EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(there, false)), wanted_data_chunks);
    const target::CommitResult result = back_up(*session_, new_);
    EXPECT_TRUE(result.committed);
    std::size_t same = 0;
    session_->chunks().get(new_.ids(), [&](const ChunkId& id, ByteView bytes) {
      if (std::ranges::equal(bytes, new_.chunks.at(id))) ++same;
    });
    EXPECT_EQ(same, new_.chunks.size());
    return result;
  }

  std::vector<Bytes> former_bytes_, new_bytes_;
  Content former_, new_;
  std::unique_ptr<target::TargetSession> session_;
};

TEST_F(Deltas, AChangedDayTravelsAsCopiesAndComesBackTheSame) {
  back_up_former_day();
  ASSERT_TRUE(session_->takes_deltas());
  for (const std::size_t first : {0u, 10u, 20u, 30u}) {
    const Whole whole = answer_to(run_at(first).as_copies());
    ASSERT_TRUE(whole);
    EXPECT_TRUE(whole->empty());
  }
  const auto result = commit_the_rest(0);
  EXPECT_EQ(result.deltas, 4u);
  EXPECT_EQ(result.delta_chunks, 40u);
  EXPECT_EQ(result.whole_again, 0u);
  EXPECT_TRUE(session_->verify(new_.point.uuid, {}).damage.empty());
}

TEST_F(Deltas, AChangedDayTravelsAsContentWithAPrefixAndComesBackTheSame) {
  back_up_former_day();
  for (const std::size_t first : {0u, 10u, 20u, 30u})
    EXPECT_EQ(answer_to(run_at(first).as_prefix()), std::vector<ChunkId>());
  EXPECT_EQ(commit_the_rest(0).delta_chunks, 40u);
}

TEST_F(Deltas, WhatWasAnsweredIsAppended) {
  back_up_former_day();
  const Run run = run_at(0);
  std::vector<ChunkId> ids;
  for (const FrameChunk& chunk : run.chunks) ids.push_back(chunk.id);
  EXPECT_EQ(answer_to(run.as_copies()), std::vector<ChunkId>());
  EXPECT_EQ(std::ranges::count(store_->contains(ids), true), static_cast<std::ptrdiff_t>(ids.size()));
}

TEST_F(Deltas, AMissingBasisIsAnsweredByWholeAndTheBackupEndsWell) {
  back_up_former_day();
  Run run = run_at(0);
  run.basis[7].id = id_of(as_bytes("never stored"));
  const Whole whole = answer_to(run.as_copies());
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->size(), run_chunks);
  EXPECT_EQ(answer_to(run_at(10).as_copies()), std::vector<ChunkId>()) << "the session goes on";
  const auto result = commit_the_rest(30);
  EXPECT_EQ(result.whole_again, run_chunks);
  EXPECT_EQ(result.delta_chunks, run_chunks);
}

TEST_F(Deltas, ABasisLongerThanItsChunkIsAnsweredByWhole) {
  back_up_former_day();
  Run run = run_at(0);
  run.basis[3].length += 1;
  const Whole whole = answer_to(run.as_copies());
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->size(), run_chunks);
  commit_the_rest(40);
}

TEST_F(Deltas, ADamagedBasisIsAnsweredByWholeAndTheSessionGoesOn) {
  // One chunk in a frame of its own.
  session_->send_frame(frames_of(former_, {id_of(former_bytes_[5])})[0]);
  back_up_former_day();
  damage(id_of(former_bytes_[5]));
  const Whole whole = answer_to(run_at(0).as_copies());
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->size(), run_chunks);
  EXPECT_EQ(answer_to(run_at(10).as_copies()), std::vector<ChunkId>());
  commit_the_rest(30);
}

// The point is built on the base that has just lost a chunk: nothing of that base may be taken for known.
TEST_F(Deltas, ADamagedBasisThatThePointStillNeedsIsMissingAtTheCommitUntilItComes) {
  const ChunkId damaged = id_of(former_bytes_[35]);
  session_->send_frame(frames_of(former_, {damaged})[0]);
  back_up_former_day();
  damage(damaged);
  Content next = former_;  // all as before: the trees are the base's own
  next.point.uuid = Uuid::random();
  ASSERT_TRUE(answer_to(run_at(30).as_copies()));  // whole; and the store knows the basis for lost
  EXPECT_TRUE(store_->any_lost());
  const auto refused = session_->commit(next.point);
  EXPECT_FALSE(refused.committed);
  EXPECT_EQ(refused.missing, std::vector<ChunkId>{damaged});
  EXPECT_TRUE(back_up(*session_, next).committed);
  EXPECT_FALSE(store_->any_lost());
  EXPECT_TRUE(session_->verify(next.point.uuid, {}).damage.empty());
}

TEST_F(Deltas, OnlyAChunkThatIsNotWhatItsIdSaysIsWantedWhole) {
  back_up_former_day();
  Run run = run_at(0);
  run.content[4 * chunk_bytes + edit_at] ^= std::byte{1};
  EXPECT_EQ(answer_to(run.as_copies()), std::vector<ChunkId>{run.chunks[4].id});
  const auto result = commit_the_rest(31);
  EXPECT_EQ(result.delta_chunks, run_chunks - 1);
  EXPECT_EQ(result.whole_again, 1u);
}

TEST_F(Deltas, AnEarlierFrameOfTheSameSessionIsABasisAsGoodAsAny) {
  std::vector<ChunkId> basis;
  for (std::size_t i = 0; i < run_chunks; ++i) basis.push_back(id_of(former_bytes_[i]));
  session_->send_frame(frames_of(former_, basis)[0]);
  EXPECT_EQ(answer_to(run_at(0).as_copies()), std::vector<ChunkId>());
  commit_the_rest(30);
}

TEST_F(Deltas, ABasisOfManyChunksIsCollectedFromUpTo256Frames) {
  constexpr std::size_t chunks_per_frame = limits::delta_basis_chunks_max / 256;
  std::vector<Bytes> small;
  std::vector<delta::DeltaBasis> basis;
  Bytes content;
  FrameBuilder builder(1);
  for (std::size_t i = 0; i < limits::delta_basis_chunks_max; ++i) {
    small.push_back(random_bytes(5000 + i, 200));
    basis.push_back({id_of(small.back()), 150});
    builder.add(basis.back().id, small.back());
    if (builder.chunk_count() == chunks_per_frame) session_->send_frame(builder.finish());
    content.insert(content.end(), small.back().begin(), small.back().begin() + 150);
  }
  const std::vector<delta::Copy> copies = {{0, 0, static_cast<std::uint32_t>(content.size())}};
  const std::vector<FrameChunk> chunks = {{id_of(content), static_cast<std::uint32_t>(content.size())}};
  EXPECT_EQ(answer_to(delta::DeltaFrameBuilder(3).copies(chunks, content, basis, copies, no_limit)),
            std::vector<ChunkId>());
  EXPECT_EQ(get_chunk(session_->chunks(), chunks[0].id), content);
}

// A byte of each frame would make the target decode all of them.
TEST_F(Deltas, ABasisInTooManyFramesOrInTooMuchContentIsAnsweredByWhole) {
  for (const auto& [frames, frame_bytes] : {std::pair{257u, 100u}, std::pair{65u, 1u << 20}}) {
    std::vector<delta::DeltaBasis> basis;
    for (std::size_t i = 0; i < frames; ++i) {
      Bytes content(frame_bytes, std::byte{1});
      std::ranges::copy(random_bytes(9000 + i, 16), content.begin());
      FrameBuilder builder(1);
      basis.push_back({id_of(content), 1});
      builder.add(basis.back().id, content);
      session_->send_frame(builder.finish());
    }
    const Bytes content = text_bytes(77, 64);
    const std::vector<FrameChunk> chunks = {{id_of(content), 64}};
    const auto made_on = [&](std::span<const delta::DeltaBasis> some) {
      return delta::DeltaFrameBuilder(3).copies(chunks, content, some, {}, no_limit);
    };
    EXPECT_EQ(answer_to(made_on(basis)), std::vector<ChunkId>{chunks[0].id}) << frames << " frames";
    EXPECT_EQ(answer_to(made_on(std::span(basis).first(basis.size() - 1))), std::vector<ChunkId>()) << frames;
  }
}

// A line of real edits: bytes inserted, removed and changed, through a signature, the matcher and the patch.
struct EditedFile {
  Bytes former, now;
};
EditedFile edited_file(std::uint64_t seed, std::size_t bytes) {
  Random random(seed);
  EditedFile file{random_bytes(seed, bytes), {}};
  for (std::size_t at = 0; at < file.former.size();) {
    const std::size_t same = std::min<std::size_t>(file.former.size() - at, 1 + random.below(20'000));
    file.now.insert(file.now.end(), file.former.begin() + static_cast<std::ptrdiff_t>(at),
                    file.former.begin() + static_cast<std::ptrdiff_t>(at + same));
    const Bytes inserted = random_bytes(random.below(1 << 30), 1 + random.below(200));
    file.now.insert(file.now.end(), inserted.begin(), inserted.end());
    at += same + random.below(200);
  }
  return file;
}

TEST_F(Deltas, MadeFromSignaturesByTheMatcherComeBackTheSameOnABasisOfTheSameSession) {
  const delta::SignatureParameters parameters{512, 8};
  delta::Matcher matcher;
  delta::DeltaFrameBuilder builder(3);
  std::size_t sent_bytes = 0, new_bytes = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const EditedFile file = edited_file(seed, 200'000);
    const auto cut = [&](const Bytes& bytes, std::size_t at) {
      return ByteView(bytes).subspan(at, std::min<std::size_t>(40'000, bytes.size() - at));
    };
    std::vector<delta::DeltaBasis> basis;
    std::vector<delta::BasisPart> parts;
    std::list<Bytes> signatures;
    FrameBuilder former(1);
    for (std::size_t at = 0; at < file.former.size(); at += 40'000) {
      const ByteView chunk = cut(file.former, at);
      former.add(id_of(chunk), chunk);
      const Bytes& signature = signatures.emplace_back(delta::make_signature(chunk, parameters));
      parts.push_back({delta::parse_signature(signature), static_cast<std::int64_t>(at)});
      basis.push_back({id_of(chunk), parts.back().signature.basis_bytes()});
    }
    session_->send_frame(former.finish());
    std::vector<FrameChunk> chunks;
    for (std::size_t at = 0; at < file.now.size(); at += 40'000) {
      const ByteView chunk = cut(file.now, at);
      chunks.push_back({id_of(chunk), static_cast<std::uint32_t>(chunk.size())});
    }
    const Bytes frame = builder.copies(chunks, file.now, basis, matcher.match(file.now, parts), no_limit);
    sent_bytes += frame.size();
    new_bytes += file.now.size();
    EXPECT_EQ(answer_to(frame), std::vector<ChunkId>()) << "seed " << seed;
    Bytes back;
    for (const FrameChunk& chunk : chunks) {
      const Bytes content = get_chunk(session_->chunks(), chunk.id);
      back.insert(back.end(), content.begin(), content.end());
    }
    EXPECT_EQ(back, file.now);
  }
  EXPECT_LT(sent_bytes, new_bytes / 4);
}

TEST_F(Deltas, AChunkOfADeltaIsABasisForTheNext) {
  back_up_former_day();
  const Run run = run_at(0);
  EXPECT_EQ(answer_to(run.as_copies()), std::vector<ChunkId>());
  Bytes third = new_bytes_[0];
  third[100] ^= std::byte{1};
  const std::vector<FrameChunk> chunks = {{id_of(third), chunk_bytes}};
  const std::vector<delta::DeltaBasis> basis = {{run.chunks[0].id, chunk_bytes}};
  const std::vector<delta::Copy> copies = {{200, 200, chunk_bytes - 200}};
  EXPECT_EQ(answer_to(delta::DeltaFrameBuilder(3).copies(chunks, third, basis, copies, no_limit)),
            std::vector<ChunkId>());
  EXPECT_EQ(get_chunk(session_->chunks(), chunks[0].id), third);
}

TEST_F(Deltas, SeveralSessionsSendThemAtOnceIntoOneStore) {
  options_.verify_threads = 2;
  back_up_former_day();
  session_->close_backup();
  std::vector<Run> runs;
  for (const std::size_t first : {0u, 10u, 20u, 30u}) runs.push_back(run_at(first));
  std::vector<std::unique_ptr<target::TargetSession>> sessions;
  for (const char* machine : {"a", "b", "c", "d"}) {
    sessions.push_back(connect());
    sessions.back()->open_backup(opening({"host", machine, machine}));
  }
  std::vector<std::thread> senders;
  std::atomic<std::size_t> rebuilt = 0;
  for (std::size_t i = 0; i < sessions.size(); ++i)
    senders.emplace_back([&, i] {
      for (std::size_t k = 0; k < 100; ++k)  // each its own first, then all of the others'
        sessions[i]->send_delta(runs[(i + k) % runs.size()].as_copies(),
                                [&](Whole whole) { rebuilt += whole && whole->empty() ? 1 : 0; });
      sessions[i]->close_backup();
    });
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(rebuilt, 400u);
  session_->open_backup(opening());
  commit_the_rest(0);
  EXPECT_TRUE(session_->verify(new_.point.uuid, {}).damage.empty());
}

TEST_F(Deltas, ThousandsInFlightAreEachAnsweredOnceInABoundedQueue) {
  session_.reset();
  options_.queue_bytes_max = 100'000;
  options_.verify_threads = 3;
  session_ = connect();
  session_->open_backup(opening());
  ASSERT_TRUE(back_up(*session_, former_).committed);
  session_->open_backup(opening());
  std::vector<Bytes> frames;
  for (const std::size_t first : {0u, 10u, 20u, 30u}) frames.push_back(run_at(first).as_copies());
  constexpr std::size_t count = 2000;
  std::vector<std::atomic<int>> answers(count);
  for (std::size_t i = 0; i < count; ++i)
    session_->send_delta(frames[i % frames.size()],
                         [&, i](Whole whole) { answers[i] += whole && whole->empty() ? 1 : 100; });
  const auto result = commit_the_rest(0);
  EXPECT_EQ(result.deltas, count);
  EXPECT_TRUE(std::ranges::all_of(answers, [](const auto& times) { return times == 1; }));
}

// --- targets that are old, silent or hostile

Bytes any_delta() {
  const Bytes content = text_bytes(1, 1000);
  const std::vector<FrameChunk> chunks = {{chunk_id_of({}, content), 1000}};
  const std::vector<delta::DeltaBasis> basis = {{ChunkId(), 500}};
  return delta::DeltaFrameBuilder(3).copies(chunks, content, basis, {}, no_limit);
}

TEST(DeltasTo, AnOlderTargetAreNotSent) {
  std::future<void> target;
  const auto session = connect_to(target, [](Transport& end) { wire::PacketReader(end).next(); });
  EXPECT_FALSE(session->takes_deltas());
  EXPECT_THROW(session->send_delta(any_delta(), [](Whole) { ADD_FAILURE(); }), std::logic_error);
}

TEST(DeltasTo, ATargetThatVanishesAreEachAnsweredByNothingOnce) {
  constexpr std::size_t count = 20;
  std::atomic<std::size_t> answers = 0;
  std::future<void> target;
  {
    const auto session = connect_to(
        target,
        [](Transport& end) {
          wire::PacketReader reader(end);
          for (std::size_t i = 0; i < count; ++i) reader.next();
        },
        wire::feature_deltas);
    for (std::size_t i = 0; i < count; ++i)
      session->send_delta(any_delta(), [&](Whole whole) {
        EXPECT_EQ(whole, std::nullopt);
        ++answers;
      });
    target.get();
    EXPECT_EQ(error_of([&] { session->points(); }).code(), ErrorCode::unreachable);
    EXPECT_EQ(error_of([&] { session->send_delta(any_delta(), [](Whole) { ADD_FAILURE(); }); }).code(),
              ErrorCode::unreachable);
  }
  EXPECT_EQ(answers, count);
}

TEST(DeltasTo, ASilentTargetAreAtMost64) {
  constexpr std::size_t in_flight_max = 64;
  std::promise<void> all_in_flight;
  std::atomic<bool> answering = false;
  std::atomic<std::size_t> answers = 0;
  std::future<void> target;
  const auto session = connect_to(
      target,
      [&](Transport& end) {
        wire::PacketReader reader(end);
        wire::PacketWriter writer(end);
        std::vector<std::uint64_t> numbers;
        const auto read_one = [&] {
          ByteView payload = reader.next()->payload;
          numbers.push_back(wire::take_number(payload));
        };
        while (numbers.size() < in_flight_max) read_one();
        all_in_flight.get_future().wait();
        answering = true;
        writer.send(wire::PacketType::delta_done, {wire::encode_numbered_ids(numbers[0], {})});
        read_one();
        for (std::size_t i = 1; i < numbers.size(); ++i)
          writer.send(wire::PacketType::delta_done, {wire::encode_numbered_ids(numbers[i], {})});
        reader.next();
      },
      wire::feature_deltas);
  const auto answered = [&](Whole whole) { answers += whole ? 1 : 1000; };
  for (std::size_t i = 0; i < in_flight_max; ++i) session->send_delta(any_delta(), answered);
  EXPECT_EQ(answers, 0u);
  all_in_flight.set_value();
  session->send_delta(any_delta(), answered);
  EXPECT_TRUE(answering);
}

TEST(DeltasTo, ATargetThatAnswersOneThatWasNotSentLosesTheSession) {
  std::future<void> target;
  const auto session = connect_to(
      target,
      [](Transport& end) {
        wire::PacketWriter(end).send(wire::PacketType::delta_done, {wire::encode_numbered_ids(99, {})});
        try {
          wire::PacketReader reader(end);
          while (reader.next()) {
          }
        } catch (const Error&) {  // the client hung up
        }
      },
      wire::feature_deltas);
  EXPECT_EQ(error_of([&] { session->points(); }).code(), ErrorCode::malformed);
}

TEST(DeltasTo, ATargetThatWantsAChunkOfNoDeltaLosesTheSession) {
  std::future<void> target;
  const auto session = connect_to(
      target,
      [](Transport& end) {
        wire::PacketReader reader(end);
        ByteView payload = reader.next()->payload;
        const std::vector<ChunkId> another = {ChunkId()};
        wire::PacketWriter(end).send(wire::PacketType::delta_done,
                                     {wire::encode_numbered_ids(wire::take_number(payload), another)});
        try {
          while (reader.next()) {
          }
        } catch (const Error&) {  // the client hung up
        }
      },
      wire::feature_deltas);
  std::promise<Whole> answered;
  session->send_delta(any_delta(), [&](Whole whole) { answered.set_value(std::move(whole)); });
  EXPECT_EQ(answered.get_future().get(), std::nullopt);
  EXPECT_EQ(error_of([&] { session->points(); }).code(), ErrorCode::malformed);
}

}  // namespace
}  // namespace vmferry::test
