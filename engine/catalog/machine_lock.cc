#include "engine/catalog/machine_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "protocol/error.h"

namespace vmferry::catalog {
namespace {

class FileLock final : public MachineLock {
 public:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  ~FileLock() override { close(descriptor_); }  // the file stays: removing it would race with the next one
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace

std::unique_ptr<MachineLock> take_machine_lock(const std::filesystem::path& directory, const Uuid& machine) {
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) throw system_error(failed.value(), "cannot make the catalog's folder of locks", directory.string());
  const std::filesystem::path file = directory / machine.to_string();
  const int descriptor = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) throw system_error(errno, "cannot lock the machine", file.string());
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    const int error_number = errno;
    close(descriptor);
    if (error_number == EWOULDBLOCK)
      throw Error(ErrorCode::busy, "this machine is being backed up by another process", machine.to_string(),
                  "wait until it is done");
    throw system_error(error_number, "cannot lock the machine", file.string());
  }
  return std::make_unique<FileLock>(descriptor);
}

}  // namespace vmferry::catalog
