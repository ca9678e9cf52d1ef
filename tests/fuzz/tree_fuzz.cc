// link: protocol
// Tree nodes of a hostile peer: parsing, walking, and the entries of image maps and file indexes in them. The input is
// several nodes (each after its length); the first is the root, and inner nodes name others by number.
#include <cstdlib>
#include <map>

#include "protocol/error.h"
#include "protocol/file_index.h"
#include "protocol/image_map.h"
#include "protocol/tree.h"

namespace {

using namespace vmferry;

// A node's id is its number in the input: its first byte.
class InputNodes : public ChunkSource {
 public:
  std::vector<Bytes> nodes;

  void get(std::span<const ChunkId> ids, const Use& use) override {
    for (const ChunkId& id : ids) {
      const auto number = std::to_integer<std::size_t>(id.bytes[0]);
      if (number >= nodes.size()) throw Error(ErrorCode::damaged, "a chunk is missing");
      use(id, nodes[number]);
    }
  }
};

template <typename Action>
void guarded(const Action& action) {
  try {
    action();
  } catch (const Error&) {
  }
}

void read_entry(ByteView key, ByteView value) {
  guarded([&] {
    Bytes again_key;
    Bytes again_value;
    const MapEntry entry = decode_map_entry(key, value);
    encode_map_entry(entry, again_key, again_value);
    if (decode_map_entry(again_key, again_value) != entry) std::abort();
  });
  guarded([&] {
    const NameEntry entry = decode_name(key, value);
    if (decode_name(name_key(entry.parent, upcase_simple(entry.name), entry.name), encode_name(entry)) != entry)
      std::abort();
  });
  guarded([&] {
    const RecordEntry entry = decode_record(key, value);
    if (decode_record(record_key(entry.record, entry.part), encode_record(entry)) != entry) std::abort();
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input = std::as_bytes(std::span(data, size));
  guarded([&] { parse_tree_node(input); });
  InputNodes source;
  TreeRoot root;
  guarded([&] {
    ByteReader in(input);
    root.levels = in.u8();
    root.entries = in.varint();
    while (!in.at_end() && source.nodes.size() < 256) {
      const ByteView node = in.bytes(in.varint());
      source.nodes.emplace_back(node.begin(), node.end());
    }
  });
  guarded([&] {
    TreeCursor cursor(root, source);
    for (cursor.seek({}); !cursor.at_end(); cursor.next()) read_entry(cursor.entry().key, cursor.entry().value);
    cursor.seek_floor(input.first(std::min<std::size_t>(input.size(), 8)));
  });
  guarded([&] { visit_new_nodes(root, source, {}, source, [](const NewNode&) {}); });
  guarded([&] {
    ImageMapReader reader(root, 1 << 20, source);
    std::uint64_t end = 0;
    for (auto entry = reader.next(); entry; entry = reader.next()) {
      if (entry->disk.offset != end) std::abort();
      end = entry->disk.end();
    }
    if (end != 1 << 20) std::abort();
  });
  guarded([&] {
    FileIndexReader index(root, source);
    index.find_path("a/b");
    index.record(5);
  });
  return 0;
}
