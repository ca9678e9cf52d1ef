// What the store's tests share: a directory of their own, frames of random chunks, points.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "protocol/error.h"
#include "protocol/frame.h"
#include "target-server/store/local_files.h"
#include "target-server/store/store.h"

namespace vmferry::store {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "vmferry-store-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw system_error(errno, "cannot make a directory", name);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline Bytes random_bytes(std::uint64_t seed, std::size_t length) {
  std::mt19937_64 random(seed);
  Bytes bytes(length);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// A frame with the chunks of the seeds [first, first + count).
struct MadeFrame {
  Bytes bytes;
  std::vector<ChunkId> ids;
};
inline MadeFrame make_frame(const DomainKey& key, std::uint64_t first, std::size_t count = 1,
                            std::size_t chunk_bytes = 1000) {
  FrameBuilder builder(1);
  MadeFrame frame;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const Bytes content = random_bytes(seed, chunk_bytes + seed % 100);
    frame.ids.push_back(chunk_id_of(key, content));
    builder.add(frame.ids.back(), content);
  }
  frame.bytes = builder.finish();
  return frame;
}
inline std::vector<ChunkId> append_frame(Store& store, std::uint64_t first, std::size_t count = 1,
                                         std::size_t chunk_bytes = 1000) {
  const MadeFrame frame = make_frame(store.domain().key, first, count, chunk_bytes);
  store.append(parse_frame(frame.bytes));
  return frame.ids;
}
inline Bytes content_of_seed(std::uint64_t seed, std::size_t chunk_bytes = 1000) {
  return random_bytes(seed, chunk_bytes + seed % 100);
}

// Every id is there, and its content is what its id says.
inline void expect_readable(Store& store, std::span<const ChunkId> ids) {
  std::size_t used = 0;
  store.chunk_source()->get(ids, [&](const ChunkId& id, ByteView content) {
    EXPECT_EQ(chunk_id_of(store.domain().key, content), id);
    ++used;
  });
  EXPECT_EQ(used, ids.size());
}

inline RestorePoint make_point(const Uuid& client, const Uuid& machine, const std::string& name = "web1") {
  RestorePoint point;
  point.uuid = Uuid::random();
  point.client_uuid = client;
  point.machine_uuid = machine;
  point.machine_name = name;
  point.client_name = "host";
  return point;
}

template <typename Action>
ErrorCode error_of(Action&& action, std::string* message = nullptr) {
  try {
    action();
  } catch (const Error& error) {
    if (message != nullptr) *message = error.what();
    return error.code();
  }
  ADD_FAILURE() << "no Error was thrown";
  return ErrorCode::failed;
}

inline Bytes read_file(const std::filesystem::path& path) { return read_whole(path, 1ULL << 30); }
inline void write_file(const std::filesystem::path& path, ByteView bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(as_text(bytes).data(), static_cast<std::streamsize>(bytes.size()));
}
inline std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder,
                                                      const std::string& extension) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().extension() == extension) found.push_back(entry.path());
  return found;
}

class StoreTest : public testing::Test {
 protected:
  StoreTest() : directory_(scratch_.path() / "store") { Store::init(directory_); }
  std::unique_ptr<Store> open(bool writable = true, std::uint64_t pack_bytes = 256u << 20) {
    return Store::open(directory_,
                       {.writable = writable, .reserve_fraction = 0, .pack_bytes_target = pack_bytes, .socket = {}});
  }
  TemporaryDirectory scratch_;
  const std::filesystem::path directory_;
};

}  // namespace vmferry::store
