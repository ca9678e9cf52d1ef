#include "target-server/store/recovery.h"

#include <fcntl.h>

#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "protocol/error.h"
#include "protocol/external_sort.h"

namespace vmferry::store {
namespace {

constexpr std::size_t sort_bytes_max = 64u << 20;
constexpr std::string_view pack_suffix = ".pack";

struct UuidHash {
  std::size_t operator()(const Uuid& uuid) const noexcept {
    std::size_t value;
    std::memcpy(&value, uuid.bytes.data(), sizeof value);
    return value;
  }
};
using KnownPacks = std::unordered_map<Uuid, IndexedPack, UuidHash>;

std::optional<Uuid> pack_of(std::string_view file_name) {
  if (const std::size_t slash = file_name.rfind('/'); slash != std::string_view::npos)
    file_name.remove_prefix(slash + 1);
  if (!file_name.ends_with(pack_suffix)) return std::nullopt;
  return Uuid::parse(file_name.substr(0, file_name.size() - pack_suffix.size()));
}

KnownPacks known_packs(ChunkIndex& index) {
  KnownPacks known;
  for (const IndexedPack& pack : index.packs()) known.emplace(pack.uuid, pack);
  return known;
}

struct RowById {
  bool operator()(const ChunkIndex::BulkRow& a, const ChunkIndex::BulkRow& b) const { return a.chunk.id < b.chunk.id; }
};

// One run over the store. Its parts are steps of recover(), in their order.
class Run {
 public:
  Run(const StorePlace& place, ObjectStore& objects, ChunkIndex& index, bool may_write)
      : place_(place), objects_(objects), index_(index), may_write_(may_write), known_(known_packs(index)) {}

  Recovered run() {
    const std::vector<std::string> journal_files = names_in(place_.journal());
    for (const std::string& name : journal_files)
      if (const std::optional<Uuid> pack = pack_of(name)) recover_open_pack(*pack, place_.journal() / name);
    index_sealed_packs();
    for (const auto& [uuid, pack] : known_) {
      if (seen_.contains(uuid)) continue;
      index_.forget_pack(uuid);
      note("index_behind", uuid.to_string(), "the index named a pack that is gone; its rows were dropped");
    }
    return std::move(result_);
  }

 private:
  void note(std::string code, std::string object, std::string message) {
    result_.notes.push_back({std::move(code), std::move(object), std::move(message)});
  }

  const IndexedPack* known(const Uuid& pack) const {
    const auto found = known_.find(pack);
    return found == known_.end() ? nullptr : &found->second;
  }

  void recover_open_pack(const Uuid& pack, const std::filesystem::path& path);
  bool trust_indexed_part(const IndexedPack& indexed, const ReadAt& read, std::uint64_t size, Journal::Found& found);
  void seal(Journal journal);
  bool is_sealed_already(const Uuid& pack, const std::filesystem::path& path);
  void keep_copy(const std::filesystem::path& path);
  void index_sealed_packs();
  std::optional<PackTrailer> read_sealed_pack(const std::string& name, const Uuid& pack, std::uint64_t size);

  const StorePlace& place_;
  ObjectStore& objects_;
  ChunkIndex& index_;
  const bool may_write_;
  KnownPacks known_;
  std::unordered_set<Uuid, UuidHash> seen_;
  Recovered result_;
};

void Run::keep_copy(const std::filesystem::path& path) {
  std::filesystem::path copy = path;
  copy.replace_extension(".damaged");
  if (!may_write_ || facts_of(copy)) return;
  copy_durably(path, copy);
}

// The indexed frames are taken as they are (they were durable and checked) where they chain to the index's value.
bool Run::trust_indexed_part(const IndexedPack& indexed, const ReadAt& read, std::uint64_t size,
                             Journal::Found& found) {
  if (indexed.sealed || indexed.size > size || indexed.size < pack_header_bytes) return false;
  const bool walked = walk_frames(read, pack_header_bytes, indexed.size, [&](const ScannedFrame& frame) {
    found.chain = chain_frame(found.chain, frame.checksum, frame.length);
    for (const FrameChunk& chunk : frame.chunks) found.chunks.push_back({chunk.id, frame.offset, frame.length});
  });
  if (walked && found.chain == indexed.check) {
    found.size = indexed.size;
    return true;
  }
  found.chain = 0;
  found.chunks.clear();
  return false;
}

void Run::recover_open_pack(const Uuid& pack, const std::filesystem::path& path) {
  if (is_sealed_already(pack, path)) return;
  const Descriptor file = open_file(path, may_write_ ? O_RDWR : O_RDONLY);
  const std::uint64_t size = facts_of(file, path).size;
  const ReadAt read = [&](std::uint64_t offset, std::span<std::byte> into) {
    return read_at(file, offset, into, path);
  };
  Journal::Found found;
  try {
    Bytes header(pack_header_bytes);
    header.resize(read(0, header));
    found.header = decode_pack_header(header);
    if (found.header.pack != pack || found.header.store != place_.store || found.header.domain != place_.domain.uuid)
      throw Error(ErrorCode::damaged, "the pack belongs to another store");
  } catch (const Error& error) {
    if (error.code() == ErrorCode::version) throw;
    note("journal_damaged", path, std::string("its frames are not used: ") + error.what());
    if (may_write_) {  // out of the way, with all its bytes
      std::filesystem::path aside = path;
      move_durably(path, aside.replace_extension(".damaged"));
    }
    return;
  }
  found.size = pack_header_bytes;

  const IndexedPack* indexed = known(pack);
  const bool trusted = indexed != nullptr && trust_indexed_part(*indexed, read, size, found);
  const std::size_t trusted_chunks = found.chunks.size();
  ScanResult scan = scan_frames(read, found.size, size, place_.domain.key, [&](const ScannedFrame& frame) {
    found.chain = chain_frame(found.chain, frame.checksum, frame.length);
    for (const FrameChunk& chunk : frame.chunks) found.chunks.push_back({chunk.id, frame.offset, frame.length});
  });
  found.size = scan.end;
  const bool cuts_indexed = scan.end < size && !scan.trailer && indexed != nullptr && indexed->size > scan.end;
  if (!scan.damaged.empty() || cuts_indexed) {
    keep_copy(path);
    note("journal_damaged", path,
         "frames in the open pack are broken; all others are used, and a copy is kept beside it (.damaged)");
  }
  if (indexed != nullptr && !trusted) {
    index_.forget_pack(pack);
    note("index_behind", pack.to_string(), "the index did not fit the open pack, which was indexed anew");
  }
  if (found.chunks.empty() && scan.damaged.empty() && !cuts_indexed) {
    if (may_write_) remove_durably(path);
    if (indexed != nullptr && trusted) index_.forget_pack(pack);
    seen_.insert(pack);
    return;
  }
  if (may_write_ && scan.end < size) truncate_file(file, scan.end, path);
  if (may_write_) sync_file(file, path);  // rows only ever name what is durable

  std::vector<PackChunk> rows(found.chunks.begin() + static_cast<std::ptrdiff_t>(trusted ? trusted_chunks : 0),
                              found.chunks.end());
  sort_pack_chunks(rows);
  if (!rows.empty() || !trusted) index_.add({pack, false, found.size, 0, found.chain, 0}, rows);
  seen_.insert(pack);
  if (!may_write_) return;

  // Only a pack that was just as the index had it (or as a first one is) grows on: no two versions of a pack.
  const bool as_expected = scan.damaged.empty() && trusted && !result_.open_pack;
  Journal journal = Journal::reopen(place_.journal(), found);
  if (as_expected)
    result_.open_pack.emplace(std::move(journal));
  else
    seal(std::move(journal));
}

void Run::seal(Journal journal) {
  try {
    const std::string name = pack_object_name(journal.pack());
    const std::uint64_t check = journal.finish();
    if (!objects_.put_file_if_absent(name, journal.path()))
      throw Error(ErrorCode::exists, "a sealed pack is there already", name);
    const ObjectFacts facts = objects_.facts(name).value_or(ObjectFacts{});
    const IndexedPack sealed{journal.pack(), true, facts.size, facts.modified_ns, check, 0};
    index_.add(sealed, {});
    known_[sealed.uuid] = sealed;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::no_space) throw;
    // Its frames are indexed, and can be read from the journal. The next open() seals it.
    note("store_full", journal.path(), "there is no space to seal this pack");
  }
}

// A crash can leave one file under both names (where a move is a link and an unlink).
bool Run::is_sealed_already(const Uuid& pack, const std::filesystem::path& path) {
  const std::filesystem::path sealed = place_.directory / pack_object_name(pack);
  if (!facts_of(sealed)) return false;
  if (!may_write_) return true;
  if (std::filesystem::equivalent(sealed, path)) {
    remove_durably(path);
  } else {
    std::filesystem::path aside = path;
    move_durably(path, aside.replace_extension(".damaged"));
    note("journal_damaged", aside, "a sealed pack of the same name is there already; this one was put aside");
  }
  return true;
}

std::optional<PackTrailer> Run::read_sealed_pack(const std::string& name, const Uuid& pack, std::uint64_t size) {
  const ReadAt read = [&](std::uint64_t offset, std::span<std::byte> into) { return objects_.get(name, offset, into); };
  try {
    Bytes header_bytes(pack_header_bytes);
    header_bytes.resize(read(0, header_bytes));
    const PackHeader header = decode_pack_header(header_bytes);
    if (header.pack != pack || header.store != place_.store || header.domain != place_.domain.uuid)
      throw Error(ErrorCode::malformed, "the pack belongs to another store");
  } catch (const Error& error) {
    if (error.code() == ErrorCode::version || error.code() == ErrorCode::failed) throw;
    // A damaged header costs nothing: the frames and the trailer say all that is needed, or that it is not ours.
    if (error.code() != ErrorCode::damaged) {
      note("pack_damaged", name, std::string("it is not used: ") + error.what());
      return std::nullopt;
    }
    note("pack_damaged", name, error.what());
  }
  try {
    return read_pack_trailer(read, size, pack);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::failed) throw;
    note("pack_damaged", name, std::string("its frames were read instead of its trailer: ") + error.what());
  }
  PackTrailer trailer;
  const ScanResult scan = scan_frames(read, pack_header_bytes, size, place_.domain.key, [&](const ScannedFrame& frame) {
    for (const FrameChunk& chunk : frame.chunks) trailer.chunks.push_back({chunk.id, frame.offset, frame.length});
  });
  trailer.frames_end = scan.end;
  sort_pack_chunks(trailer.chunks);
  return trailer;
}

void Run::index_sealed_packs() {
  std::vector<IndexedPack> packs;
  // On the disk of the store's index; readers have theirs in a temporary directory.
  ExternalSorter<ChunkIndex::BulkRow, RowById> rows(
      may_write_ ? place_.directory : std::filesystem::temp_directory_path(), sort_bytes_max);
  objects_.list("packs", [&](const std::string& name, const ObjectFacts& facts) {
    const std::optional<Uuid> pack = pack_of(name);
    if (!pack || name != pack_object_name(*pack)) return;
    const IndexedPack* indexed = known(*pack);
    if (indexed != nullptr && indexed->sealed && indexed->size == facts.size &&
        indexed->modified_ns == facts.modified_ns) {
      seen_.insert(*pack);
      return;
    }
    const std::optional<PackTrailer> trailer = read_sealed_pack(name, *pack, facts.size);
    if (!trailer) return;
    if (indexed != nullptr) {
      if (indexed->sealed && indexed->size == facts.size && indexed->check == trailer->check && trailer->check != 0) {
        index_.add({*pack, true, facts.size, facts.modified_ns, trailer->check, 0},
                   {});  // copied: only its time differs
        seen_.insert(*pack);
        return;
      }
      index_.forget_pack(*pack);
    }
    seen_.insert(*pack);
    const auto number = static_cast<std::uint32_t>(packs.size());
    packs.push_back({*pack, true, facts.size, facts.modified_ns, trailer->check, 0});
    for (const PackChunk& chunk : trailer->chunks) rows.add({chunk, number});
  });
  if (packs.empty()) return;
  note("index_behind", std::to_string(packs.size()) + " packs", "the index did not know them; they were indexed");
  rows.rewind();
  index_.add_many(std::move(packs), [&] { return rows.next(); });
}

}  // namespace

std::string pack_object_name(const Uuid& pack) {
  const std::string name = pack.to_string();
  return "packs/" + name.substr(0, 2) + "/" + name + std::string(pack_suffix);
}

Recovered recover(const StorePlace& place, ObjectStore& objects, ChunkIndex& index, bool may_write) {
  return Run(place, objects, index, may_write).run();
}

bool index_matches(const StorePlace& place, ObjectStore& objects, ChunkIndex& index) {
  const KnownPacks known = known_packs(index);
  std::size_t matched = 0;
  bool all = true;
  for (const std::string& name : names_in(place.journal())) {
    const std::optional<Uuid> pack = pack_of(name);
    if (!pack) continue;
    const auto found = known.find(*pack);
    const std::optional<FileFacts> facts = facts_of(place.journal() / name);
    if (found == known.end() || found->second.sealed || !facts || facts->size != found->second.size)
      all = false;
    else
      ++matched;
  }
  objects.list("packs", [&](const std::string& name, const ObjectFacts& facts) {
    const std::optional<Uuid> pack = pack_of(name);
    if (!pack || name != pack_object_name(*pack)) return;
    const auto found = known.find(*pack);
    if (found == known.end() || !found->second.sealed || found->second.size != facts.size ||
        found->second.modified_ns != facts.modified_ns)
      all = false;
    else
      ++matched;
  });
  return all && matched == known.size();
}

}  // namespace vmferry::store
