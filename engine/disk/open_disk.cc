// open_disk: from a path to a ChainDisk: what the file is, its extents, its parents.
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "engine/disk/chain_disk.h"
#include "engine/disk/cowd_extent.h"
#include "engine/disk/grain_cache.h"
#include "engine/disk/sparse_header.h"
#include "engine/disk/vmdk_descriptor.h"
#include "engine/disk/vmdk_sector.h"
#include "protocol/byte_range.h"
#include "protocol/error.h"
#include "protocol/limits.h"

namespace vmferry::disk {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t se_sparse_magic = 0x00000000cafebabe;

// One file as it was named, before its extents are opened.
struct LinkSource {
  enum class Kind { raw, cowd, vmdk };
  Kind kind = Kind::raw;
  std::shared_ptr<const SourceFile> file;
  bool embedded = false;  // the descriptor is inside the (sparse) extent
  Descriptor descriptor;
};

class ChainOpener {
 public:
  std::unique_ptr<Disk> open(const fs::path& path, const OpenOptions& options);

 private:
  LinkSource look_at(const fs::path& path, bool named_by_user);
  std::string descriptor_text(const SourceFile& file) const;
  void add_link(const LinkSource& source);
  std::unique_ptr<Extent> open_extent(const LinkSource& source, const ExtentLine& line);
  fs::path extent_path(const LinkSource& source, const ExtentLine& line) const;
  fs::path parent_path(const LinkSource& child) const;
  LinkSource parent_of(const LinkSource& child);
  std::shared_ptr<const SourceFile> file_at(const fs::path& path, SourceFile::Allow allow);
  DiskDescription describe(const fs::path& path) const;
  std::vector<DiskFile> facts_of_files() const;

  ExtentCaches caches_{std::make_shared<OpenFiles>(), std::make_shared<TableCache>(), std::make_shared<GrainCache>()};
  std::map<fs::path, std::shared_ptr<const SourceFile>> files_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen_;  // device and inode of each link's main file
  std::vector<LinkSource> sources_;                         // of links_, the newest first
  std::vector<Link> links_;
};

std::unique_ptr<Disk> ChainOpener::open(const fs::path& path, const OpenOptions& options) {
  LinkSource source = look_at(path, true);
  if (options.parents_only) {
    if (!source.descriptor.has_parent())
      throw Error(ErrorCode::refused, "cannot read a disk's frozen state", path.string(),
                  "it has no snapshot; take one first");
    LinkSource parent = parent_of(source);
    files_.erase(source.file->path());  // the delta is being written: no file of the frozen disk
    source = std::move(parent);
  }
  for (;;) {
    add_link(source);
    sources_.push_back(source);
    if (!source.descriptor.has_parent()) break;
    if (links_.size() >= limits::disk_chain_max)
      throw Error(ErrorCode::malformed, "a disk has too many parents", path.string(),
                  "more than " + std::to_string(limits::disk_chain_max - 1) + "; consolidate its snapshots");
    source = parent_of(source);
  }
  // Of two maps' lifetimes: extents keep their files, the caches keep only the files' addresses as keys.
  return std::make_unique<ChainDisk>(std::move(links_), describe(path), facts_of_files());
}

LinkSource ChainOpener::look_at(const fs::path& path, bool named_by_user) {
  LinkSource source;
  source.file = file_at(path, named_by_user ? SourceFile::Allow::block_device_too : SourceFile::Allow::regular_file);
  const SourceFile& file = *source.file;
  if (!seen_.emplace(file.facts().device, file.facts().inode).second)
    throw Error(ErrorCode::malformed, "a disk is its own parent", path.string());
  if (file.size_bytes() == 0) throw Error(ErrorCode::malformed, "cannot open a disk", path.string(), "it is empty");

  Bytes start(static_cast<std::size_t>(std::min<std::uint64_t>(file.size_bytes(), 64 * limits::KiB)));
  file.read(0, start);
  std::uint64_t magic = 0;
  std::memcpy(&magic, start.data(), std::min(start.size(), sizeof magic));
  const std::string name = path.string();
  if (static_cast<std::uint32_t>(magic) == SparseHeader::magic) {
    std::string text = read_embedded_descriptor(file);
    if (text.empty())
      throw Error(ErrorCode::usage, "cannot open an extent as a disk", name,
                  "it is one part of a disk; name the .vmdk file that lists its parts");
    source.kind = LinkSource::Kind::vmdk;
    source.embedded = true;
    source.descriptor = parse_descriptor(std::move(text), name);
  } else if (static_cast<std::uint32_t>(magic) == CowdHeader::magic) {
    source.kind = LinkSource::Kind::cowd;
  } else if (magic == se_sparse_magic) {
    throw Error(ErrorCode::usage, "cannot open an extent as a disk", name,
                "it is a snapshot's data; name the .vmdk file that belongs to it");
  } else if (looks_like_descriptor(as_text(start))) {
    source.kind = LinkSource::Kind::vmdk;
    source.descriptor = parse_descriptor(descriptor_text(file), name);
  }
  return source;
}

std::string ChainOpener::descriptor_text(const SourceFile& file) const {
  if (file.size_bytes() > limits::descriptor_bytes_max)
    throw Error(ErrorCode::malformed, "cannot read a disk's descriptor", file.path().string(), "it is too large");
  std::string text(static_cast<std::size_t>(file.size_bytes()), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  text.resize(text.find_last_not_of('\0') + 1);  // some tools pad it to a sector
  return text;
}

void ChainOpener::add_link(const LinkSource& source) {
  Link link;
  const auto place = [&](std::unique_ptr<Extent> extent, std::uint64_t size) {
    const std::uint64_t end = link.size_bytes + size;
    if (end > limits::disk_bytes_max)
      throw Error(ErrorCode::unsupported, "a disk is too large", source.file->path().string(), "64 TiB is the limit");
    link.extents.push_back({link.size_bytes, end, std::move(extent)});
    link.size_bytes = end;
  };
  const SourceFile& file = *source.file;
  switch (source.kind) {
    case LinkSource::Kind::raw:
      if (file.size_bytes() % vmdk_sector_bytes != 0)
        throw Error(ErrorCode::malformed, "cannot open a raw image", file.path().string(),
                    "its " + std::to_string(file.size_bytes()) + " bytes are not whole sectors of 512");
      place(open_flat_extent(source.file, 0, file.size_bytes()), file.size_bytes());
      break;
    case LinkSource::Kind::cowd: {
      const CowdHeader header = read_cowd_header(file);
      if ((header.flags & CowdHeader::flag_root) == 0)
        throw Error(ErrorCode::unsupported, "cannot open a snapshot's data as a disk", file.path().string(),
                    "name the .vmdk file that belongs to it");
      const std::uint64_t size = header.capacity_sectors * vmdk_sector_bytes;
      place(open_cowd_extent(source.file, size, caches_), size);
      break;
    }
    case LinkSource::Kind::vmdk:
      for (const ExtentLine& line : source.descriptor.extents)
        place(open_extent(source, line), line.sectors * vmdk_sector_bytes);
      break;
  }
  links_.push_back(std::move(link));
}

std::unique_ptr<Extent> ChainOpener::open_extent(const LinkSource& source, const ExtentLine& line) {
  const std::uint64_t size = line.sectors * vmdk_sector_bytes;
  const std::string object = line.file_name.empty() ? source.file->path().string() : line.file_name;
  if (line.access == ExtentLine::Access::none)
    throw Error(ErrorCode::unsupported, "cannot read an extent", object, "its descriptor says NOACCESS");
  if (line.type == "ZERO") return open_zero_extent();
  if (line.type.starts_with("VMFSRDM") || line.type.starts_with("VMFSRAW"))
    throw Error(ErrorCode::unsupported, "cannot read an extent", object,
                "it is a raw device mapping; leave the disk out or back its device up in the guest");
  if (line.file_name.empty())
    throw Error(ErrorCode::malformed, "an extent has no file", source.file->path().string());
  const bool is_flat = line.type == "FLAT" || line.type == "VMFS";
  if (!is_flat && line.file_sector != 0)
    throw Error(ErrorCode::unsupported, "cannot read an extent", object, "a sparse extent with an offset");

  // An embedded descriptor's name is stale where the file was renamed: the one extent is the file itself.
  const bool is_itself = source.embedded && line.type == "SPARSE" &&
                         (source.descriptor.extents.size() == 1 ||
                          fs::path(line.file_name).filename() == source.file->path().filename());
  auto file = is_itself ? source.file : file_at(extent_path(source, line), SourceFile::Allow::regular_file);
  if (is_flat) return open_flat_extent(std::move(file), line.file_sector * vmdk_sector_bytes, size);
  if (line.type == "SPARSE") return open_hosted_sparse_extent(std::move(file), size, caches_);
  if (line.type == "VMFSSPARSE") return open_cowd_extent(std::move(file), size, caches_);
  if (line.type == "SESPARSE") return open_se_sparse_extent(std::move(file), size, caches_);
  throw Error(ErrorCode::unsupported, "cannot read an extent", object, "its kind " + line.type + " is not known");
}

// Below the descriptor's directory, or absolute as on VMFS.
fs::path ChainOpener::extent_path(const LinkSource& source, const ExtentLine& line) const {
  const fs::path name(line.file_name);
  if (name.is_absolute()) return name;
  if (std::ranges::find(name, fs::path("..")) != name.end())
    throw Error(ErrorCode::refused, "an extent lies outside its disk's directory", line.file_name,
                "named by " + source.file->path().string());
  return source.file->path().parent_path() / name;
}

fs::path ChainOpener::parent_path(const LinkSource& child) const {
  const fs::path directory = child.file->path().parent_path();
  const std::string& hint = child.descriptor.parent_hint;
  const fs::path named = fs::path(hint).is_absolute() ? fs::path(hint) : directory / hint;
  std::error_code ignored;
  if (fs::exists(named, ignored)) return named;
  // A chain that was moved as a whole still names where it was, perhaps on Windows. The CID tells whether the file of
  // that name beside the child is the parent.
  const std::size_t slash = hint.find_last_of("/\\");
  const fs::path beside = slash == std::string::npos ? named : directory / hint.substr(slash + 1);
  return fs::exists(beside, ignored) ? beside : named;
}

LinkSource ChainOpener::parent_of(const LinkSource& child) {
  LinkSource parent = look_at(parent_path(child), false);
  const auto hex = [](std::uint32_t cid) {
    std::array<std::byte, 4> raw{};
    for (std::size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<std::byte>((cid >> (24 - 8 * i)) & 0xff);
    return to_hex(raw);
  };
  if (parent.kind != LinkSource::Kind::vmdk)
    throw Error(ErrorCode::malformed, "a disk's parent is no VMDK with a descriptor", parent.file->path().string(),
                "named by " + child.file->path().string());
  if (parent.descriptor.cid != child.descriptor.parent_cid)
    throw Error(ErrorCode::malformed, "a disk's parent was changed after the snapshot", child.file->path().string(),
                "it wants CID " + hex(child.descriptor.parent_cid) + ", and " + parent.file->path().string() +
                    " has " + hex(parent.descriptor.cid));
  return parent;
}

std::shared_ptr<const SourceFile> ChainOpener::file_at(const fs::path& path, SourceFile::Allow allow) {
  const fs::path normal = path.lexically_normal();
  auto& file = files_[normal];
  if (!file) {
    try {
      file = std::make_shared<const SourceFile>(normal, caches_.open_files, allow);
    } catch (...) {
      files_.erase(normal);
      throw;
    }
  }
  return file;
}

std::vector<DiskFile> ChainOpener::facts_of_files() const {
  std::vector<DiskFile> facts;
  for (const auto& [path, file] : files_) facts.push_back(file->facts());
  return facts;
}

std::uint32_t geometry_number(const std::string& text) {
  std::uint32_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || number > 100'000'000) return 0;
    number = number * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return number;
}

std::string ddb_value(const Descriptor& descriptor, const std::string& key) {
  const auto found = descriptor.ddb.find(key);
  return found == descriptor.ddb.end() ? std::string() : found->second;
}

// ESX leaves geometry, adapter and UUID out of a snapshot's descriptor: a parent says them.
std::string newest_value(const std::vector<LinkSource>& sources, const std::string& key) {
  for (const LinkSource& source : sources)
    if (std::string value = ddb_value(source.descriptor, key); !value.empty()) return value;
  return {};
}

Uuid uuid_of(const std::vector<LinkSource>& sources) {
  if (const auto uuid = Uuid::parse(newest_value(sources, "ddb.uuid")); uuid && !uuid->is_none()) return *uuid;
  // VirtualBox gives each link an image UUID of its own: the oldest one's stays the same from snapshot to snapshot.
  return Uuid::parse(ddb_value(sources.back().descriptor, "ddb.uuid.image")).value_or(Uuid{});
}

DiskDescription ChainOpener::describe(const fs::path& path) const {
  const LinkSource& newest = sources_.front();
  DiskDescription out;
  out.file_name = path.filename().string();
  switch (newest.kind) {
    case LinkSource::Kind::raw: out.format = "raw"; break;
    case LinkSource::Kind::cowd: {
      out.format = "vmfsSparse";
      out.geometry = read_cowd_header(*newest.file).geometry;
      break;
    }
    case LinkSource::Kind::vmdk: out.format = newest.descriptor.create_type; break;
  }
  out.cid = newest.descriptor.cid;
  out.uuid = uuid_of(sources_);
  out.adapter_type = newest_value(sources_, "ddb.adapterType");
  if (newest.kind == LinkSource::Kind::vmdk) {
    out.geometry = {.cylinders = geometry_number(newest_value(sources_, "ddb.geometry.cylinders")),
                    .heads = geometry_number(newest_value(sources_, "ddb.geometry.heads")),
                    .sectors = geometry_number(newest_value(sources_, "ddb.geometry.sectors"))};
  }
  out.ddb = newest.descriptor.ddb;
  out.descriptor = newest.descriptor.text;
  return out;
}

}  // namespace

std::unique_ptr<Disk> open_disk(const std::filesystem::path& path, const OpenOptions& options) {
  return ChainOpener().open(path, options);
}

}  // namespace vmferry::disk
