// FormerNames: which record of the base point is the former version of a file that has another MFT reference today: the
// file of the same path ("save as" writes a new file and renames it), else, for a new file, one of the same name and
// nearly the same size (a package's next version in a new folder; any file of a sibling machine), else, for a large one, one
// of exactly the same size (a copy under another name). It looks only at what
// is new in today's index, and at so many files of one name or size at most that its time grows with their number. Bounded
// in memory. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/backup/node_source.h"
#include "protocol/file_index.h"
#include "protocol/tree.h"

namespace vmferry::backup {

using FormerReferences = std::unordered_map<MftReference, MftReference>;  // today's -> the base point's

class FormerNames {
 public:
  // same_machine: a file that is found by its MFT reference is the same file, whatever its name.
  FormerNames(const TreeRoot& former_index, NodeSource& nodes, bool same_machine)
      : former_index_(former_index), nodes_(nodes), cursor_(former_index, nodes), same_machine_(same_machine) {}

  // A node of today's index that the base point's index does not have, in the order of a TreeBuilder.
  void new_node(ByteView node);
  // After the last node. Throws FormerUnreadable, as new_node() does.
  FormerReferences finish();

 private:
  struct NewFile {
    MftReference record;
    std::uint64_t data_bytes;
    MftReference best = 0;
    std::uint64_t best_bytes = 0;
    MftReference of_same_size = 0;
  };

  using Candidates = std::unordered_map<std::uint64_t, std::vector<std::uint32_t>>;  // into files_; few under each key

  void new_name(ByteView key, ByteView value);
  void look_for_equal_names();
  void consider(const NameEntry& former);
  static void add_candidate(Candidates& candidates, std::uint64_t key, std::size_t file);
  bool former_has_record(MftReference record);

  TreeRoot former_index_;
  NodeSource& nodes_;
  TreeCursor cursor_;
  const bool same_machine_;
  FormerReferences found_;
  std::vector<NewFile> files_;
  std::uint64_t file_bytes_ = 0;
  Candidates by_name_;  // by a hash of the upcased name: a wrong guess costs bytes
  Candidates by_size_;  // large ones
};

}  // namespace vmferry::backup
