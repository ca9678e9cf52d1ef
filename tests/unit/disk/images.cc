#include "tests/unit/disk/images.h"

#include <zlib.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "tests/unit/disk/disk_model.h"

namespace vmferry::disk::test {
namespace {

ByteView grain_of(const Layer& layer, std::size_t index) {
  const std::size_t begin = index * layer.grain_bytes;
  return ByteView(layer.content).subspan(begin, std::min(layer.grain_bytes, layer.content.size() - begin));
}

std::uint64_t pad(Bytes& bytes, std::uint64_t step) {
  bytes.resize((bytes.size() + step - 1) / step * step);
  return bytes.size() / 512;
}

// The order in which grains get their places.
std::vector<std::size_t> order(std::size_t grains, bool shuffled) {
  std::vector<std::size_t> order(grains);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (shuffled) std::shuffle(order.begin(), order.end(), std::mt19937(3));
  return order;
}

void header(Bytes& out, const Layer& layer, std::uint32_t version, std::uint32_t flags,
            std::uint64_t descriptor_sectors, std::uint32_t table_entries, std::uint64_t directory,
            std::uint64_t overhead, std::size_t at = 0) {
  put(out, at + 0, 0x564d444b, 4);
  put(out, at + 4, version, 4);
  put(out, at + 8, flags, 4);
  put(out, at + 12, layer.content.size() / 512, 8);
  put(out, at + 20, layer.grain_bytes / 512, 8);
  put(out, at + 28, descriptor_sectors == 0 ? 0 : 1, 8);
  put(out, at + 36, descriptor_sectors, 8);
  put(out, at + 44, table_entries, 4);
  put(out, at + 56, directory, 8);
  put(out, at + 64, overhead, 8);
  put(out, at + 73, 0x0a0d200a, 4);
  put(out, at + 77, (flags >> 16) & 1, 2);
}

}  // namespace

Layer layer_of(ByteView content, std::uint64_t grain_bytes) {
  Layer layer{.content = Bytes(content.begin(), content.end()), .grain_bytes = grain_bytes, .states = {}};
  for (std::size_t i = 0; i * grain_bytes < content.size(); ++i)
    layer.states.push_back(std::ranges::all_of(grain_of(layer, i), [](std::byte b) { return b == std::byte{0}; })
                               ? GrainState::absent
                               : GrainState::data);
  return layer;
}

Layer random_layer(std::uint64_t size, std::uint64_t grain_bytes, std::uint32_t seed) {
  Layer layer{.content = random_disk(size, seed), .grain_bytes = grain_bytes, .states = {}};
  std::mt19937 random(seed);
  GrainState state = GrainState::absent;
  for (std::size_t i = 0; i * grain_bytes < size; ++i) {
    if (random() % 4 == 0) state = static_cast<GrainState>(random() % 3);
    layer.states.push_back(state);
  }
  return layer;
}

Bytes overlaid(const Layer& layer, ByteView below) {
  Bytes out(below.begin(), below.end());
  out.resize(layer.content.size());
  for (std::size_t i = 0; i < layer.states.size(); ++i) {
    const ByteView grain = grain_of(layer, i);
    const auto place = out.begin() + static_cast<std::ptrdiff_t>(i * layer.grain_bytes);
    if (layer.states[i] == GrainState::data) std::ranges::copy(grain, place);
    if (layer.states[i] == GrainState::zeroed) std::fill_n(place, grain.size(), std::byte{0});
  }
  return out;
}

Bytes hosted_sparse(const Layer& layer, const SparseOptions& options) {
  const std::uint64_t grains = layer.states.size();
  const std::uint64_t tables = (grains + options.table_entries - 1) / options.table_entries;
  const std::uint64_t table_sectors = (options.table_entries * 4 + 511) / 512;
  const std::uint64_t descriptor_sectors = options.descriptor.empty() ? 0 : 20;
  const std::uint64_t directory = 1 + descriptor_sectors;
  const std::uint64_t first_table = directory + (tables * 4 + 511) / 512;
  Bytes out((first_table + tables * table_sectors) * 512);
  const std::uint64_t overhead = pad(out, layer.grain_bytes);
  header(out, layer, options.version, 1 | 4, descriptor_sectors, options.table_entries, directory, overhead);
  std::ranges::copy(as_bytes(options.descriptor), out.begin() + 512);
  for (std::uint64_t i = 0; i < tables; ++i) {
    const auto begin = layer.states.begin() + static_cast<std::ptrdiff_t>(i * options.table_entries);
    const std::uint64_t after = std::min<std::uint64_t>(grains, (i + 1) * options.table_entries);
    const auto end = layer.states.begin() + static_cast<std::ptrdiff_t>(after);
    if (std::all_of(begin, end, [](GrainState s) { return s == GrainState::absent; })) continue;
    put(out, directory * 512 + i * 4, first_table + i * table_sectors, 4);
  }
  for (const std::size_t i : order(grains, options.shuffled)) {
    const std::size_t entry =
        (first_table + i / options.table_entries * table_sectors) * 512 + i % options.table_entries * 4;
    if (layer.states[i] == GrainState::zeroed) put(out, entry, 1, 4);
    if (layer.states[i] != GrainState::data) continue;
    put(out, entry, out.size() / 512, 4);
    const ByteView grain = grain_of(layer, i);
    out.insert(out.end(), grain.begin(), grain.end());
    pad(out, layer.grain_bytes);
  }
  return out;
}

Bytes stream_optimized(const Layer& layer, const std::string& descriptor) {
  constexpr std::uint32_t table_entries = 512;
  constexpr std::uint32_t flags = 1 | 4 | 1 << 16 | 1 << 17;
  Bytes out(128 * 512);
  header(out, layer, 3, flags, 20, table_entries, ~std::uint64_t{0}, 128);
  std::ranges::copy(as_bytes(descriptor), out.begin() + 512);
  const auto marker = [&](std::uint64_t sectors, std::uint32_t type) {
    const std::size_t at = out.size();
    put(out, at, sectors, 8);
    put(out, at + 8, 0, 4);
    put(out, at + 12, type, 4);
    pad(out, 512);
  };
  std::vector<std::uint64_t> directory;
  for (std::size_t begin = 0; begin < layer.states.size(); begin += table_entries) {
    Bytes table(table_entries * 4);
    for (std::size_t i = begin; i < std::min<std::size_t>(layer.states.size(), begin + table_entries); ++i) {
      if (layer.states[i] == GrainState::zeroed) put(table, (i - begin) * 4, 1, 4);
      if (layer.states[i] != GrainState::data) continue;
      put(table, (i - begin) * 4, out.size() / 512, 4);
      const ByteView grain = grain_of(layer, i);
      uLongf length = ::compressBound(grain.size());
      Bytes deflated(length);
      ::compress2(reinterpret_cast<Bytef*>(deflated.data()), &length, reinterpret_cast<const Bytef*>(grain.data()),
                  grain.size(), 6);
      const std::size_t at = out.size();
      put(out, at, i * layer.grain_bytes / 512, 8);
      put(out, at + 8, length, 4);
      out.insert(out.end(), deflated.begin(), deflated.begin() + static_cast<std::ptrdiff_t>(length));
      pad(out, 512);
    }
    marker(table.size() / 512, 1);
    directory.push_back(out.size() / 512);
    out.insert(out.end(), table.begin(), table.end());
  }
  marker((directory.size() * 4 + 511) / 512, 2);
  const std::uint64_t directory_sector = out.size() / 512;
  for (const std::uint64_t table : directory) put(out, out.size(), table, 4);
  pad(out, 512);
  marker(1, 3);
  header(out, layer, 3, flags, 20, table_entries, directory_sector, 128, out.size());
  pad(out, 512);
  marker(0, 0);
  return out;
}

Bytes cowd(const Layer& layer, bool root) {
  constexpr std::uint64_t table_entries = 4096;
  const std::uint64_t grains = layer.states.size();
  const std::uint64_t tables = (grains + table_entries - 1) / table_entries;
  Bytes out((4 + (tables * 4 + 511) / 512) * 512);
  put(out, 0, 0x44574f43, 4);
  put(out, 4, 1, 4);
  put(out, 8, root ? 3 : 2, 4);
  put(out, 12, layer.content.size() / 512, 4);
  put(out, 16, layer.grain_bytes / 512, 4);
  put(out, 20, 4, 4);
  put(out, 24, tables, 4);
  if (root) {
    put(out, 32, 100, 4);
    put(out, 36, 16, 4);
    put(out, 40, 63, 4);
  }
  for (std::uint64_t t = 0; t < tables; ++t) {
    const std::uint64_t table = out.size() / 512;
    put(out, 4 * 512 + t * 4, table, 4);
    out.resize(out.size() + table_entries * 4);
    for (std::uint64_t i = 0; i < table_entries && t * table_entries + i < grains; ++i) {
      const std::size_t grain = t * table_entries + i;
      if (layer.states[grain] == GrainState::absent) continue;
      put(out, table * 512 + i * 4, out.size() / 512, 4);
      const ByteView content = grain_of(layer, grain);
      if (layer.states[grain] == GrainState::data) {
        out.insert(out.end(), content.begin(), content.end());
      } else {  // the format has no zeroed grains: zeros are written
        out.resize(out.size() + content.size());
      }
      out.resize((out.size() + layer.grain_bytes - 1) / 512 * 512);
    }
  }
  return out;
}

Bytes se_sparse(const Layer& layer) {
  constexpr std::uint64_t table_entries = 4096;
  const std::uint64_t grains = layer.states.size();
  const std::uint64_t tables = (grains + table_entries - 1) / table_entries;
  const std::uint64_t directory = 8;
  const std::uint64_t directory_sectors = (tables * 8 + 511) / 512;
  const std::uint64_t first_table = directory + directory_sectors;
  const std::uint64_t first_grain = first_table + tables * 64;
  Bytes out(first_grain * 512);
  put(out, 0, 0xcafebabe, 8);
  put(out, 8, 0x0000000200000001, 8);
  put(out, 16, layer.content.size() / 512, 8);
  put(out, 24, 8, 8);
  put(out, 32, 64, 8);
  put(out, 80, 1, 8);  // the volatile header's sector, and its size
  put(out, 88, 1, 8);
  put(out, 128, directory, 8);
  put(out, 136, directory_sectors, 8);
  put(out, 144, first_table, 8);
  put(out, 152, tables * 64, 8);
  put(out, 192, first_grain, 8);
  put(out, 512, 0xcafecafe, 8);
  for (std::uint64_t t = 0; t < tables; ++t) put(out, directory * 512 + t * 8, 0x1000000000000000 | t, 8);
  // Grain 0 of the file stays unused, and numbers go down, so that order in the file is not order in the disk.
  std::uint64_t number = static_cast<std::uint64_t>(std::ranges::count(layer.states, GrainState::data));
  out.resize(out.size() + (number + 1) * 4096);
  for (std::uint64_t i = 0; i < grains; ++i) {
    const std::size_t entry = first_table * 512 + i * 8;
    if (layer.states[i] == GrainState::zeroed) put(out, entry, std::uint64_t{i % 2 + 1} << 60, 8);
    if (layer.states[i] != GrainState::data) continue;
    put(out, entry, 0x3000000000000000 | (number & 0xfff) << 48 | number >> 12, 8);
    std::ranges::copy(grain_of(layer, i), out.begin() + static_cast<std::ptrdiff_t>(first_grain * 512 + number * 4096));
    --number;
  }
  return out;
}

}  // namespace vmferry::disk::test
