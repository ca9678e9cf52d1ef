// SignatureStore: the signatures of chunks that a target is known to have, in a SQLite file of its own beside the catalog.
// A cache with a budget: whatever is lost of it costs bytes on the wire, never a backup, so no call throws: what goes wrong
// is told by problem(), the store is empty from then on, and a damaged file is deleted and made anew by the next process. A
// file that is no signature file is left alone, and the store is empty then.
// docs/format/catalog.md has the schema. Thread-safe; several processes may have it open.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "protocol/chunk_id.h"
#include "protocol/uuid.h"

namespace vmferry::catalog {

class SignatureStore {
 public:
  static constexpr std::uint64_t budget_bytes_default = 8ULL << 30;

  // Where it lies: beside this catalog.
  static std::filesystem::path file_beside(const std::filesystem::path& catalog);

  explicit SignatureStore(std::filesystem::path file, std::uint64_t budget_bytes = budget_bytes_default);
  ~SignatureStore();  // writes what is still held back
  SignatureStore(const SignatureStore&) = delete;
  SignatureStore& operator=(const SignatureStore&) = delete;

  // Beside ids; empty where there is none. As they were added: nothing here says that they are well formed.
  std::vector<Bytes> find(std::span<const ChunkId> ids);
  bool contains(const ChunkId& id);
  // Held back and written by the megabyte. A signature that is there stays.
  void add(std::vector<std::pair<ChunkId, Bytes>> signatures);

  // The point of this machine in this store up to which every chunk was signed: then nobody needs to look chunk by chunk. Not
  // set where signatures were lost on the way.
  std::optional<Uuid> signed_up_to(const Uuid& store, const Uuid& machine);
  void set_signed_up_to(const Uuid& store, const Uuid& machine, const Uuid& point);

  bool over_budget();
  // Where it is over its budget: drops signatures, first those that `named` does not name, then the oldest. named calls its
  // argument for each chunk of each machine's last point; what it throws goes through, and nothing is dropped.
  using Name = std::function<void(const ChunkId&)>;
  void trim(const std::function<void(const Name&)>& named);

  struct Size {
    std::uint64_t signatures = 0;
    std::uint64_t bytes = 0;  // of the signatures; the file is larger by about a tenth
  };
  Size size();
  std::string problem() const;

 private:
  struct Open;
  template <typename Do>
  void guarded(Do&& act);  // with the mutex held
  void write_pending();
  void give_up(const std::string& why, bool damaged);

  const std::filesystem::path file_;
  const std::uint64_t budget_bytes_;
  mutable std::mutex mutex_;
  std::unique_ptr<Open> open_;  // null once something went wrong
  std::vector<std::pair<ChunkId, Bytes>> pending_;
  std::size_t pending_bytes_ = 0;
  bool lost_some_ = false;  // of what was added by this process
  std::string problem_;
};

}  // namespace vmferry::catalog
