// ObjectStore: the seam under sealed packs and points: immutable objects by name ("packs/3f/UUID.pack"). The local
// directory is the first backend; an S3 one comes beside it. A writer begins an epoch; a put by a writer whose epoch
// is no longer the newest is refused, so that a writer that was thought dead cannot add anything.
// Thread-safe. Throws Error; put is durable when it returns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "protocol/bytes.h"

namespace vmferry::store {

struct ObjectFacts {
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
};

class ObjectStore {
 public:
  using Visit = std::function<void(const std::string& name, const ObjectFacts&)>;

  virtual ~ObjectStore() = default;
  // Fences every earlier writer. Returns the epoch, which rises.
  virtual std::uint64_t begin_epoch() = 0;
  // False where the name is taken: the object there stays as it is. Error{refused}: a newer writer has begun.
  virtual bool put_if_absent(const std::string& name, ByteView content) = 0;
  // The same from a local file, whose content must be durable; it is gone afterwards.
  virtual bool put_file_if_absent(const std::string& name, const std::filesystem::path& file) = 0;
  // Fewer than into.size() bytes only at the object's end. Error{not_found}.
  virtual std::size_t get(const std::string& name, std::uint64_t offset, std::span<std::byte> into) = 0;
  virtual std::optional<ObjectFacts> facts(const std::string& name) = 0;
  // Every object below a folder ("points"), in no order.
  virtual void list(const std::string& folder, const Visit& visit) = 0;
  virtual bool remove(const std::string& name) = 0;  // false where it is not there
};

std::unique_ptr<ObjectStore> local_object_store(const std::filesystem::path& root);

}  // namespace vmferry::store
