#include "engine/disk/libvmdk_reader.h"

#include <libvmdk.h>

#include <array>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "protocol/byte_range.h"
#include "protocol/error.h"

namespace vmferry::disk {
namespace {

// libvmdk opens every extent's file and keeps it, unless told how many it may.
constexpr int open_files_max = 16;
constexpr std::size_t idle_handles_max = 4;

[[noreturn]] void fail(libvmdk_error_t* error, const std::filesystem::path& path) {
  std::array<char, 2048> text{};
  std::string cause = "libvmdk gives no reason";
  if (error != nullptr && libvmdk_error_sprint(error, text.data(), text.size()) > 0) cause = text.data();
  libvmdk_error_free(&error);
  throw Error(ErrorCode::failed, "libvmdk cannot read a disk", path.string(), std::move(cause));
}

}  // namespace

class LibvmdkReader::Handle {
 public:
  explicit Handle(const std::filesystem::path& path) : path_(path) {
    libvmdk_error_t* error = nullptr;
    if (libvmdk_handle_initialize(&handle_, &error) != 1) fail(error, path_);
    try {
      const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
      expect(libvmdk_handle_set_maximum_number_of_open_handles(handle_, open_files_max, &error), error);
      expect(libvmdk_handle_open(handle_, path.c_str(), LIBVMDK_OPEN_READ, &error), error);
      expect(libvmdk_handle_set_extent_data_files_path(handle_, folder.c_str(), folder.size(), &error), error);
      expect(libvmdk_handle_open_extent_data_files(handle_, &error), error);
      size64_t size = 0;
      expect(libvmdk_handle_get_media_size(handle_, &size, &error), error);
      size_bytes_ = size;
    } catch (...) {
      libvmdk_handle_free(&handle_, nullptr);
      throw;
    }
  }
  ~Handle() {
    libvmdk_handle_close(handle_, nullptr);
    libvmdk_handle_free(&handle_, nullptr);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  std::uint64_t size_bytes() const noexcept { return size_bytes_; }

  void read(std::uint64_t offset, std::span<std::byte> into) {
    while (!into.empty()) {
      libvmdk_error_t* error = nullptr;
      const ssize_t got = libvmdk_handle_read_buffer_at_offset(handle_, into.data(), into.size(),
                                                               static_cast<off64_t>(offset), &error);
      if (got <= 0) fail(error, path_);
      into = into.subspan(static_cast<std::size_t>(got));
      offset += static_cast<std::uint64_t>(got);
    }
  }

 private:
  void expect(int result, libvmdk_error_t* error) const {
    if (result != 1) fail(error, path_);
  }

  std::filesystem::path path_;
  libvmdk_handle_t* handle_ = nullptr;
  std::uint64_t size_bytes_ = 0;
};

struct LibvmdkReader::Handles {
  std::filesystem::path path;
  std::uint64_t size_bytes = 0;
  std::mutex mutex;
  std::vector<std::unique_ptr<Handle>> idle;
};

LibvmdkReader::LibvmdkReader(const std::filesystem::path& path) : handles_(std::make_unique<Handles>()) {
  handles_->path = path;
  handles_->idle.push_back(std::make_unique<Handle>(path));
  handles_->size_bytes = handles_->idle.back()->size_bytes();
}

LibvmdkReader::~LibvmdkReader() = default;

std::uint64_t LibvmdkReader::size_bytes() const noexcept { return handles_->size_bytes; }

void LibvmdkReader::read(std::uint64_t offset, std::span<std::byte> into) const {
  if (!range_fits(offset, into.size(), size_bytes()))
    throw Error(ErrorCode::malformed, "a read past the end of a disk", handles_->path.string());
  std::unique_ptr<Handle> handle;
  {
    const std::scoped_lock lock(handles_->mutex);
    if (!handles_->idle.empty()) {
      handle = std::move(handles_->idle.back());
      handles_->idle.pop_back();
    }
  }
  if (!handle) handle = std::make_unique<Handle>(handles_->path);
  handle->read(offset, into);  // a handle that failed is not used again
  const std::scoped_lock lock(handles_->mutex);
  if (handles_->idle.size() < idle_handles_max) handles_->idle.push_back(std::move(handle));
}

}  // namespace vmferry::disk
