#include <gtest/gtest.h>

#include <set>

#include "protocol/chunk_id.h"
#include "protocol/error.h"
#include "protocol/uuid.h"

namespace vmferry {
namespace {

TEST(Uuid, RandomOnesDifferAndSayTheirVersion) {
  std::set<Uuid> seen;
  for (int i = 0; i < 1000; ++i) {
    const Uuid uuid = Uuid::random();
    EXPECT_EQ(uuid.to_string()[14], '4');
    EXPECT_TRUE(seen.insert(uuid).second);
  }
}

TEST(Uuid, DerivedIsTheSameForTheSameInputOnly) {
  EXPECT_EQ(Uuid::derived(as_bytes("disk 0")), Uuid::derived(as_bytes("disk 0")));
  EXPECT_NE(Uuid::derived(as_bytes("disk 0")), Uuid::derived(as_bytes("disk 1")));
  EXPECT_EQ(Uuid::derived(as_bytes("disk 0")).to_string(), "37dc751e-34fe-851b-99bf-3c164a135966");
}

TEST(Uuid, ReadsTheUsualFormAndVMwares) {
  const auto usual = Uuid::parse("564d0123-4567-89ab-cdef-0123456789AB");
  ASSERT_TRUE(usual);
  EXPECT_EQ(usual->to_string(), "564d0123-4567-89ab-cdef-0123456789ab");
  EXPECT_EQ(Uuid::parse("56 4d 01 23 45 67 89 ab-cd ef 01 23 45 67 89 ab"), usual);
  EXPECT_EQ(Uuid::parse("{564d0123-4567-89ab-cdef-0123456789ab}"), usual);
}

TEST(Uuid, RefusesWhatIsNoUuid) {
  for (const char* text : {"", "564d", "564d0123-4567-89ab-cdef-0123456789abc", "564d0123-4567-89ab-cdef-0123456789ag"})
    EXPECT_FALSE(Uuid::parse(text)) << text;
  EXPECT_THROW(Uuid::from_bytes(Bytes(15)), Error);
}

// The test vectors that BLAKE3's authors publish: input 00 01 02 .. fa 00 01 ..; key "whats the Elvish word for
// friend".
Bytes vector_input(std::size_t length) {
  Bytes input(length);
  for (std::size_t i = 0; i < length; ++i) input[i] = static_cast<std::byte>(i % 251);
  return input;
}

TEST(ChunkId, IsKeyedBlake3AsItsAuthorsPublishIt) {
  DomainKey key;
  const std::string_view text = "whats the Elvish word for friend";
  std::memcpy(key.bytes.data(), text.data(), key.bytes.size());
  EXPECT_EQ(chunk_id_of(key, {}).to_string(), "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26");
  EXPECT_EQ(chunk_id_of(key, vector_input(1)).to_string(),
            "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b");
  EXPECT_EQ(chunk_id_of(key, vector_input(102400)).to_string(),
            "1c35d1a5811083fd7119f5d5d1ba027b4d01c0c6c49fb6ff2cf75393ea5db4a7");
}

TEST(ChunkId, UnkeyedBlake3AsItsAuthorsPublishIt) {
  EXPECT_EQ(to_hex(blake3_of({})), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
  EXPECT_EQ(to_hex(blake3_of(vector_input(1025))), "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444");
}

TEST(ChunkId, DomainsNeverMeet) {
  EXPECT_NE(chunk_id_of(DomainKey::random(), as_bytes("same")), chunk_id_of(DomainKey::random(), as_bytes("same")));
}

}  // namespace
}  // namespace vmferry
