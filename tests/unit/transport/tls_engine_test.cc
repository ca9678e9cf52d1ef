// The engine alone: two of them back to back in memory.
#include "protocol/transport/tls_engine.h"

#include <gtest/gtest.h>

#include <cstring>

#include "protocol/transport/tls_openssl.h"
#include "tests/support/content.h"
#include "tests/unit/transport/tls_fixture.h"

namespace vmferry {
namespace {

using namespace test;

void carry(TlsEngine& from, TlsEngine& to) {
  Bytes& output = from.output();
  if (output.empty()) return;
  std::memcpy(to.input_room(output.size()).data(), output.data(), output.size());
  to.input_arrived(output.size());
  output.clear();
}

struct Engines {
  explicit Engines(std::uint64_t key_lifetime_bytes = tls_key_lifetime_bytes)
      : client(tls_client_context(controller_identity()), "target:1", fingerprint_of(target_identity()), key_lifetime_bytes),
        server(tls_server_context(target_identity()), "controller:2", std::nullopt) {}

  void shake_hands() {
    bool client_done = false, server_done = false;
    for (int turn = 0; turn < 10 && !(client_done && server_done); ++turn) {
      if (!client_done) client_done = client.handshake();
      carry(client, server);
      if (!server_done) server_done = server.handshake();
      carry(server, client);
    }
    ASSERT_TRUE(client_done && server_done);
  }

  TlsEngine client, server;
};

Bytes read_all(TlsEngine& engine, std::size_t bytes_max) {
  Bytes into(bytes_max);
  into.resize(engine.read(into));
  return into;
}

TEST(TlsEngine, EachSideKnowsTheKeyOfTheOther) {
  Engines engines;
  engines.shake_hands();
  EXPECT_EQ(engines.client.peer(), fingerprint_of(target_identity()));
  EXPECT_EQ(engines.server.peer(), fingerprint_of(controller_identity()));
}

TEST(TlsEngine, ContentGoesOnWhenTheKeysAreChangedUnderIt) {
  const Bytes content = random_bytes(1, 100'000);
  Engines never, often(100'000);
  for (Engines* engines : {&never, &often}) {
    engines->shake_hands();
    std::size_t sent_bytes = 0;
    for (int round = 0; round < 20; ++round) {
      engines->client.write(content);
      sent_bytes += engines->client.output().size();
      carry(engines->client, engines->server);
      EXPECT_EQ(read_all(engines->server, 200'000), content);
    }
    // A key update is a record of its own, of 27 bytes.
    const std::size_t plain_bytes = 20 * (content.size() + 7 * 22);
    EXPECT_EQ(sent_bytes - plain_bytes, engines == &often ? 19u * 27 : 0u);
  }
}

TEST(TlsEngine, EveryFlippedBitOfARecordIsNoticedAndNothingOfItIsGivenOut) {
  const Bytes content = random_bytes(2, 300);
  for (std::size_t at = 0; at < 300 + 22; at += 7) {
    Engines engines;
    engines.shake_hands();
    engines.client.write(content);
    engines.client.output()[at] ^= std::byte{0x10};
    if (at == 3 || at == 4) continue;  // the length: it may wait for the rest of a longer record
    carry(engines.client, engines.server);
    EXPECT_EQ(error_of([&] { read_all(engines.server, 1000); }).code(), ErrorCode::unreachable) << at;
    EXPECT_EQ(error_of([&] { read_all(engines.server, 1000); }).code(), ErrorCode::unreachable) << "and again";
    EXPECT_EQ(error_of([&] { engines.server.write(content); }).code(), ErrorCode::unreachable);
  }
}

TEST(TlsEngine, WhatIsRightBeforeAFaultIsGivenOutFirst) {
  const Bytes content = random_bytes(3, 300);
  Engines engines;
  engines.shake_hands();
  engines.client.write(content);
  engines.client.write(content);
  engines.client.output().back() ^= std::byte{1};
  carry(engines.client, engines.server);
  EXPECT_EQ(read_all(engines.server, 1000), content);
  EXPECT_EQ(error_of([&] { read_all(engines.server, 1000); }).code(), ErrorCode::unreachable);
}

TEST(TlsEngine, ARecordThatIsPlayedTwiceIsNoticed) {
  const Bytes content = random_bytes(4, 300);
  Engines engines;
  engines.shake_hands();
  engines.client.write(content);
  const Bytes record = engines.client.output();
  engines.client.output().insert(engines.client.output().end(), record.begin(), record.end());
  carry(engines.client, engines.server);
  EXPECT_EQ(read_all(engines.server, 1000), content);
  EXPECT_EQ(error_of([&] { read_all(engines.server, 1000); }).code(), ErrorCode::unreachable);
}

// OpenSSL's own client, with its buffers in the open, to do what our engine never would.
class OtherClient {
 public:
  OtherClient() : context_(SSL_CTX_new(TLS_client_method())), session_(nullptr) {
    const auto certificate = openssl::read_certificate(controller_identity().certificate_pem);
    const auto key = openssl::read_key(controller_identity().key_pem);
    SSL_CTX_use_certificate(context_.get(), certificate.get());
    SSL_CTX_use_PrivateKey(context_.get(), key.get());
    session_.reset(SSL_new(context_.get()));
    SSL_set_bio(session_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(session_.get());
  }

  bool handshake() { return SSL_do_handshake(session_.get()) == 1; }
  void send_to(TlsEngine& engine) {
    char* bytes = nullptr;
    BIO* out = SSL_get_wbio(session_.get());
    const auto count = static_cast<std::size_t>(BIO_get_mem_data(out, &bytes));
    if (count > 0) std::memcpy(engine.input_room(count).data(), bytes, count);
    engine.input_arrived(count);
    BIO_reset(out);
  }
  void receive_from(TlsEngine& engine) {
    BIO_write(SSL_get_rbio(session_.get()), engine.output().data(), static_cast<int>(engine.output().size()));
    engine.output().clear();
  }
  SSL* session() { return session_.get(); }

 private:
  std::unique_ptr<SSL_CTX, openssl::Free<SSL_CTX_free>> context_;
  std::unique_ptr<SSL, openssl::Free<SSL_free>> session_;
};

TEST(TlsEngine, APeerThatAsksForNewKeysForEverAndReadsNoneIsDropped) {
  Engines engines;
  OtherClient client;
  bool done = false, server_done = false;
  for (int turn = 0; turn < 10 && !server_done; ++turn) {
    done = done || client.handshake();
    client.send_to(engines.server);
    server_done = engines.server.handshake();
    client.receive_from(engines.server);
  }
  ASSERT_TRUE(done && server_done);
  std::size_t answers_bytes_max = 0;
  bool dropped = false;
  for (int round = 0; round < 100'000 && !dropped; ++round) {
    ASSERT_EQ(SSL_key_update(client.session(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_EQ(SSL_do_handshake(client.session()), 1);
    client.send_to(engines.server);
    try {
      EXPECT_TRUE(read_all(engines.server, 10).empty());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::unreachable);
      dropped = true;
    }
    answers_bytes_max = std::max(answers_bytes_max, engines.server.output().size());
  }
  EXPECT_TRUE(dropped);
  EXPECT_GT(answers_bytes_max, 0u) << "it does answer";
  EXPECT_LT(answers_bytes_max, 512u * 1024);
}

TEST(TlsEngine, TheEndComesAfterWhatWasWrittenAndOnlyInItsOwnDirection) {
  const Bytes content = random_bytes(6, 40'000);
  Engines engines;
  engines.shake_hands();
  engines.client.write(content);
  engines.client.finish();
  carry(engines.client, engines.server);
  EXPECT_EQ(read_all(engines.server, 100'000), content);
  EXPECT_EQ(read_all(engines.server, 100), Bytes());
  EXPECT_TRUE(engines.server.ended());
  engines.server.write(content);
  engines.server.finish();
  carry(engines.server, engines.client);
  EXPECT_EQ(read_all(engines.client, 100'000), content);
  EXPECT_TRUE(read_all(engines.client, 100).empty() && engines.client.ended());
}

}  // namespace
}  // namespace vmferry
