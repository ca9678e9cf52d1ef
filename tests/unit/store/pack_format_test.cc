#include <gmock/gmock.h>

#include "store_fixture.h"
#include "target-server/store/pack_format.h"

namespace vmferry::store {
namespace {

// The bytes of the block ```hex name=NAME of a page: hex up to '|', line by line.
Bytes documented(const std::string& page, const std::string& name) {
  std::ifstream in(std::string(VMFERRY_SOURCE_DIR) + "/docs/format/" + page);
  std::string hex;
  bool inside = false;
  for (std::string line; std::getline(in, line);) {
    if (line == "```hex name=" + name) {
      inside = true;
    } else if (inside) {
      if (line == "```") break;
      for (const char c : line.substr(0, line.find('|')))
        if (c != ' ') hex += c;
    }
  }
  return from_hex(hex);
}

Uuid uuid_of_byte(unsigned value) {
  Uuid uuid;
  uuid.bytes.fill(static_cast<std::byte>(value));
  return uuid;
}

ReadAt reader_of(const Bytes& bytes) {
  return [&bytes](std::uint64_t offset, std::span<std::byte> into) -> std::size_t {
    if (offset >= bytes.size()) return 0;
    const std::size_t count = std::min(into.size(), bytes.size() - static_cast<std::size_t>(offset));
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), count, into.begin());
    return count;
  };
}

TEST(PackFormat, TheDocumentedPackReadsAsThePageSaysAndIsWrittenTheSame) {
  const Bytes pack = documented("pack.md", "pack");
  const PackHeader header = decode_pack_header(pack);
  EXPECT_EQ(header, (PackHeader{uuid_of_byte(0x11), uuid_of_byte(0x22), uuid_of_byte(0x33), 1'700'000'000'000}));

  const PackTrailer trailer = read_pack_trailer(reader_of(pack), pack.size(), header.pack);
  ASSERT_EQ(trailer.chunks.size(), 2u);
  Bytes again = encode_pack_header(header);
  const ByteView frame =
      ByteView(pack).subspan(again.size(), static_cast<std::size_t>(trailer.frames_end) - again.size());
  EXPECT_EQ(parse_frame(frame).chunks.size(), 2u);
  again.insert(again.end(), frame.begin(), frame.end());
  const Bytes tail = encode_pack_trailer(header.pack, trailer.frames_end, trailer.chunks);
  again.insert(again.end(), tail.begin(), tail.end());
  EXPECT_EQ(to_hex(again), to_hex(pack));
}

TEST(PackFormat, EveryDamagedByteOfHeaderAndTrailerIsNoticed) {
  const Bytes pack = documented("pack.md", "pack");
  const PackTrailer trailer = read_pack_trailer(reader_of(pack), pack.size(), uuid_of_byte(0x33));
  for (std::size_t at = 0; at < pack.size(); ++at) {
    Bytes bad = pack;
    bad[at] ^= std::byte{4};
    if (at < pack_header_bytes) {
      EXPECT_ANY_THROW(decode_pack_header(bad)) << at;
    }
    if (at >= trailer.frames_end) {
      EXPECT_ANY_THROW(read_pack_trailer(reader_of(bad), bad.size(), uuid_of_byte(0x33))) << at;
    }
  }
  for (std::size_t size = 0; size < pack.size(); ++size)
    EXPECT_ANY_THROW(read_pack_trailer(reader_of(pack), size, uuid_of_byte(0x33))) << size;
  EXPECT_ANY_THROW(read_pack_trailer(reader_of(pack), pack.size(), uuid_of_byte(0x34)));
}

TEST(PackFormat, AnUnsortedTableAndRowsOutsideTheFramesAreRefused) {
  const ChunkId low{}, high = chunk_id_of(DomainKey{}, as_bytes("x"));
  const auto read_back = [](std::vector<PackChunk> chunks) {
    Bytes pack(300);
    const Bytes trailer = encode_pack_trailer(uuid_of_byte(1), 300, chunks);
    pack.insert(pack.end(), trailer.begin(), trailer.end());
    return read_pack_trailer(reader_of(pack), pack.size(), uuid_of_byte(1)).chunks.size();
  };
  EXPECT_EQ(read_back({{low, 72, 100}, {high, 172, 128}}), 2u);
  EXPECT_ANY_THROW(read_back({{high, 72, 100}, {low, 172, 128}}));
  EXPECT_ANY_THROW(read_back({{low, 72, 100}, {low, 172, 128}}));
  EXPECT_ANY_THROW(read_back({{low, 71, 100}}));
  EXPECT_ANY_THROW(read_back({{low, 172, 129}}));
  EXPECT_ANY_THROW(read_back({{low, ~std::uint64_t{0} - 5, 100}}));
  EXPECT_ANY_THROW(read_back({{low, 72, 3}}));
}

}  // namespace
}  // namespace vmferry::store
