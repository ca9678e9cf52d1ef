#include "target-server/store/leases.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <sstream>

#include "protocol/error.h"
#include "target-server/store/local_files.h"

namespace vmferry::store {
namespace {

constexpr std::uint64_t lease_bytes_max = 1u << 20;

struct LeaseFacts {
  Uuid session, client, machine;
  std::int64_t pid = 0, since = 0;  // Unix seconds
  std::vector<Uuid> points;
};

std::string encode(const LeaseFacts& facts) {
  std::string text = "client " + facts.client.to_string() + "\nmachine " + facts.machine.to_string() + "\npid " +
                     std::to_string(facts.pid) + "\nsince " + std::to_string(facts.since) + "\n";
  for (const Uuid& point : facts.points) text += "point " + point.to_string() + "\n";
  return text;
}

LeaseFacts decode(const std::string& name, ByteView text) {
  LeaseFacts facts;
  facts.session = Uuid::parse(name).value_or(Uuid{});
  std::istringstream lines{std::string(as_text(text))};
  for (std::string word, value; lines >> word >> value;) {
    if (word == "client") facts.client = Uuid::parse(value).value_or(Uuid{});
    if (word == "machine") facts.machine = Uuid::parse(value).value_or(Uuid{});
    if (word == "point") facts.points.push_back(Uuid::parse(value).value_or(Uuid{}));
    if (word == "pid") facts.pid = std::atoll(value.c_str());
    if (word == "since") facts.since = std::atoll(value.c_str());
  }
  return facts;
}

// The live ones. Dead sessions' files are removed on the way, where that is permitted.
std::vector<LeaseFacts> live_leases(const std::filesystem::path& folder) {
  std::vector<LeaseFacts> live;
  for (const std::string& name : names_in(folder)) {
    const std::optional<Descriptor> file = open_if_there(folder / name, O_RDONLY);
    if (!file) continue;
    if (::flock(file->number(), LOCK_EX | LOCK_NB) == 0) {
      ::unlink((folder / name).c_str());
      continue;
    }
    Bytes text(static_cast<std::size_t>(std::min(facts_of(*file, folder / name).size, lease_bytes_max)));
    text.resize(read_at(*file, 0, text, folder / name));
    live.push_back(decode(name, text));
  }
  return live;
}

std::string holder_of(const LeaseFacts& lease) {
  char when[32] = "?";
  const auto seconds = static_cast<std::time_t>(lease.since);
  std::tm local{};
  if (::localtime_r(&seconds, &local) != nullptr) std::strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
  return "process " + std::to_string(lease.pid) + ", since " + when;
}

class FileLease final : public Store::Lease {
 public:
  FileLease(std::filesystem::path path, Descriptor file, const Uuid& session)
      : path_(std::move(path)), file_(std::move(file)), session_(session) {}
  ~FileLease() override { ::unlink(path_.c_str()); }
  const Uuid& session() const noexcept override { return session_; }

 private:
  const std::filesystem::path path_;
  const Descriptor file_;
  const Uuid session_;
};

}  // namespace

std::unique_ptr<Store::Lease> take_lease(const std::filesystem::path& store, const Uuid& client, const Uuid& machine,
                                         std::span<const Uuid> base_points) {
  const std::filesystem::path folder = store / "leases";
  make_directory(folder);
  for (const LeaseFacts& other : live_leases(folder))
    if (other.client == client && other.machine == machine)
      throw Error(ErrorCode::busy, "another backup of this machine is running", machine.to_string(),
                  holder_of(other) + "; wait until it is done");

  LeaseFacts facts{Uuid::random(), client, machine, ::getpid(), static_cast<std::int64_t>(std::time(nullptr)),
                   {base_points.begin(), base_points.end()}};
  // Locked before it gets its name: a lease that can be seen is alive.
  const std::filesystem::path temporary = folder / (".tmp-" + facts.session.to_string());
  const std::filesystem::path path = folder / facts.session.to_string();
  try {
    Descriptor file = open_file(temporary, O_RDWR | O_CREAT | O_EXCL);
    if (::flock(file.number(), LOCK_EX | LOCK_NB) != 0) throw system_error(errno, "cannot lock a lease", path);
    const std::string text = encode(facts);
    const ByteView bytes = as_bytes(text);
    write_at(file, 0, std::span(&bytes, 1), path);
    if (::rename(temporary.c_str(), path.c_str()) != 0) throw system_error(errno, "cannot make a lease", path);
    return std::make_unique<FileLease>(path, std::move(file), facts.session);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void check_not_leased(const std::filesystem::path& store, const Uuid& point) {
  for (const LeaseFacts& lease : live_leases(store / "leases"))
    for (const Uuid& leased : lease.points)
      if (leased == point)
        throw Error(ErrorCode::busy, "the restore point is in use by a backup", point.to_string(),
                    holder_of(lease) + "; try again when it is done");
}

}  // namespace vmferry::store
