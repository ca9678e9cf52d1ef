// OutputFile: a file that is written under NAME.partial and gets its name when it is complete and durable. While it is
// written it is locked, so that no second process writes the same one. One thread. The destructor without publish()
// leaves the partial file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "protocol/bytes.h"

namespace vmferry::disk {

// What becomes of what is there already. overwrite: anything of that name. resume: an earlier attempt's partial file is
// gone on with.
struct Existing {
  bool overwrite = false;
  bool resume = false;
};

class OutputFile {
 public:
  // Throws Error{exists} where the file or its partial is there, and `existing` does not cover it.
  static void expect_free(const std::filesystem::path& final_path, const Existing& existing);
  static std::filesystem::path partial_path_of(const std::filesystem::path& final_path);

  // The same, and creates or opens the partial. Error{busy}: another process is writing it.
  OutputFile(std::filesystem::path final_path, const Existing& existing);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Whether it has what an earlier attempt left: then what is not written is as that left it.
  bool is_resumed() const noexcept { return is_resumed_; }
  void write(std::uint64_t offset, ByteView content);
  // Zeros become holes.
  void write_data(std::uint64_t offset, ByteView content);
  // As it is now. False where that cannot be read.
  bool read_back(std::uint64_t offset, std::span<std::byte> into) const;
  // Nothing was ever written there, as far as the file system tells.
  bool is_hole(std::uint64_t offset, std::uint64_t length) const;
  // Makes it zeros, where it is not.
  void clear(std::uint64_t offset, std::uint64_t length);
  void resize(std::uint64_t size);
  void sync();
  void publish();  // renames; sync() was called
  const std::filesystem::path& final_path() const noexcept { return final_path_; }

 private:
  void take_over();
  void make_hole(std::uint64_t offset, std::uint64_t length);

  std::filesystem::path final_path_;
  std::filesystem::path partial_path_;
  bool overwrite_;
  bool is_resumed_ = false;
  int descriptor_ = -1;
};

bool is_zeros(ByteView bytes) noexcept;
// Makes the names in the folder durable.
void sync_folder(const std::filesystem::path& folder);

}  // namespace vmferry::disk
