// OutputTree: files and directories below one output directory, reached from its descriptor part by part without
// following a symbolic link, so that no name and no link in the output leads outside. Names are the caller's to check
// (output_names.h); a '/' in one throws std::logic_error. One thread.
//
// Places are "a/b": directories below the output, "" for the output itself. Throws Error, naming the path.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "protocol/bytes.h"
#include "protocol/file_index.h"

namespace vmferry::restore {

// Of a name that is to get ".partial" and a number: there is room for them in 255 bytes.
inline constexpr std::size_t temporary_stem_max = 240;

class OutputDescriptor {
 public:
  explicit OutputDescriptor(int descriptor) : descriptor_(descriptor) {}
  ~OutputDescriptor();
  OutputDescriptor(const OutputDescriptor&) = delete;
  OutputDescriptor& operator=(const OutputDescriptor&) = delete;
  int get() const noexcept { return descriptor_; }

 private:
  int descriptor_;
};

// OutputFile: one file under a temporary name beside its own; finish() gives it its name. Without it, the file stays
// as NAME.partial for the user to look at, unless discard() was called.
class OutputFile {
 public:
  OutputFile(OutputFile&&) noexcept = default;
  OutputFile& operator=(OutputFile&&) noexcept = default;

  void write(std::uint64_t offset, ByteView content);
  void set_size(std::uint64_t bytes);  // what was not written is a hole
  void set_times(const NtfsTimes& times);
  void finish();
  void discard() noexcept;

 private:
  friend class OutputTree;
  OutputFile() = default;
  std::shared_ptr<OutputDescriptor> directory_;
  std::unique_ptr<OutputDescriptor> file_;
  std::string name_, temporary_name_;
  std::filesystem::path path_;  // for messages
  bool force_ = false;
};

class OutputTree {
 public:
  // The directory must be there. It is the user's own path: links in it are followed.
  explicit OutputTree(const std::filesystem::path& directory);

  bool exists(const std::string& place, const std::string& name);
  // A directory that is there already: Error{exists} unless merge.
  void make_directory(const std::string& place, const std::string& name, bool merge);
  OutputFile create_file(const std::string& place, const std::string& name, bool force, bool read_only = false);
  // A hard link to a file of this tree. False where the file system does not want to.
  bool link(const std::string& existing_place, const std::string& existing_name, const std::string& place,
            const std::string& name, bool force);
  void set_directory_times(const std::string& place, const NtfsTimes& times);
  void rename(const std::string& place, const std::string& from, const std::string& to, bool force);

 private:
  std::shared_ptr<OutputDescriptor> open_place(const std::string& place);

  const std::filesystem::path directory_;
  std::shared_ptr<OutputDescriptor> root_;
  std::string last_place_;                        // most files follow one of the same directory
  std::shared_ptr<OutputDescriptor> last_opened_;
};

// "a" + "b" -> "a/b"; "" + "b" -> "b".
std::string joined_place(const std::string& place, const std::string& name);

}  // namespace vmferry::restore
