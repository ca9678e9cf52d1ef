// OutputFile: a file that is written under NAME.partial and gets its name when it is complete and durable. One
// thread. The destructor without publish() leaves the partial file.
#pragma once

#include <cstdint>
#include <filesystem>

#include "protocol/bytes.h"

namespace vmferry::disk {

class OutputFile {
 public:
  // Throws Error{exists} where the file or its partial is there, unless overwrite.
  static void expect_free(const std::filesystem::path& final_path, bool overwrite);
  // The same, and creates the partial.
  OutputFile(std::filesystem::path final_path, bool overwrite);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::uint64_t offset, ByteView content);
  // Leaves out what is zeros: the file is new, so that stays a hole.
  void write_data(std::uint64_t offset, ByteView content);
  void resize(std::uint64_t size);
  void sync();
  void publish();  // renames; sync() was called
  const std::filesystem::path& final_path() const noexcept { return final_path_; }

 private:
  std::filesystem::path final_path_;
  std::filesystem::path partial_path_;
  bool overwrite_;
  int descriptor_ = -1;
};

bool is_zeros(ByteView bytes) noexcept;
// Makes the names in the folder durable.
void sync_folder(const std::filesystem::path& folder);

}  // namespace vmferry::disk
