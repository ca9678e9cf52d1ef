// What other programs do with a disk's files: whether they changed, whether somebody holds them.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "engine/disk/source_file.h"
#include "protocol/bytes.h"
#include "protocol/error.h"

namespace vmferry::disk {
namespace {

namespace fs = std::filesystem;

// NFS datastores: ESX keeps ".lck-" and the file's id, in hex, the lowest byte first.
std::string nfs_lock_name(std::uint64_t inode) {
  ByteWriter id;
  id.u64(inode);
  return ".lck-" + to_hex(id.view());
}

void lock_files(const DiskFile& file, std::set<std::string>& found) {
  std::error_code error;
  const fs::path lock = file.path.string() + ".lck";  // Workstation, Fusion: a folder; older ones: a file
  const fs::file_status status = fs::status(lock, error);
  if (fs::is_directory(status)) {
    if (fs::directory_iterator(lock, error) != fs::directory_iterator() || error)
      found.insert("the machine that uses it left its lock " + lock.string());
  } else if (fs::exists(status)) {
    found.insert("the machine that uses it left its lock " + lock.string());
  }
  const fs::path nfs_lock = file.path.parent_path() / nfs_lock_name(file.inode);
  if (fs::exists(nfs_lock, error))
    found.insert("an ESX host holds " + file.path.string() + " by " + nfs_lock.string());
}

// /proc/locks tells without taking anything: "1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF".
bool in_kernel_table(const DiskFile& file, std::string& holder) {
  std::ifstream table("/proc/locks");
  std::string line;
  while (std::getline(table, line)) {
    if (line.find("->") != std::string::npos) continue;  // waits for a lock
    std::istringstream words(line);
    std::string number, kind, advisory, access, process, place;
    if (!(words >> number >> kind >> advisory >> access >> process >> place)) continue;
    if (kind == "LEASE" || kind == "DELEG" || process == std::to_string(::getpid())) continue;
    std::istringstream parts(place);
    std::uint64_t major = 0, minor = 0, inode = 0;
    char colon = 0;
    if (!(parts >> std::hex >> major >> colon >> minor >> colon >> std::dec >> inode)) continue;
    if (inode != file.inode || major != ::major(file.device) || minor != ::minor(file.device)) continue;
    holder = process == "-1" ? "another process" : "process " + process;
    return true;
  }
  return false;
}

// Locks that the table does not show: of another host (NFS), of another container.
bool by_asking(const DiskFile& file) {
  const int number = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (number < 0) return false;
  struct flock lock {};
  lock.l_type = F_WRLCK;  // only asked about, never taken, so a descriptor for reading will do
  lock.l_whence = SEEK_SET;
  bool held = ::fcntl(number, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  // flock() has no question: a shared lock for an instant, which only a holder of an exclusive one refuses.
  if (!held) {
    if (::flock(number, LOCK_SH | LOCK_NB) == 0) {
      ::flock(number, LOCK_UN);
    } else {
      held = errno == EWOULDBLOCK;
    }
  }
  ::close(number);
  return held;
}

// Another process that asks as we do holds a shared lock for an instant, which the table shows: whoever uses the disk holds
// it longer.
bool is_held(const DiskFile& file, std::string& holder) {
  constexpr int looks = 3;
  for (int look = 1;; ++look) {
    if (!in_kernel_table(file, holder) && !by_asking(file)) return false;
    if (look == looks) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

std::vector<std::filesystem::path> changed_files(const std::vector<DiskFile>& files) {
  std::vector<std::filesystem::path> changed;
  for (const DiskFile& file : files) {
    try {
      if (file_facts(file.path) != file) changed.push_back(file.path);
    } catch (const Error&) {
      changed.push_back(file.path);
    }
  }
  return changed;
}

std::vector<std::string> locks_on(const std::vector<DiskFile>& files) {
  std::set<std::string> found;
  for (const DiskFile& file : files) {
    lock_files(file, found);
    std::string holder = "another process";
    if (is_held(file, holder)) found.insert(holder + " holds a lock on " + file.path.string());
  }
  return {found.begin(), found.end()};
}

}  // namespace vmferry::disk
