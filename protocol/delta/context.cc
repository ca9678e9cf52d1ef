#include "protocol/delta/context.h"

namespace vmferry::delta {
namespace {

void append_ends(ByteView copied, Bytes& context) {
  if (copied.size() > 2 * context_reach) {
    const ByteView head = copied.first(context_reach);
    context.insert(context.end(), head.begin(), head.end());
    copied = copied.last(context_reach);
  }
  context.insert(context.end(), copied.begin(), copied.end());
}

}  // namespace

void context_of_content(ByteView content, std::span<const Copy> copies, Bytes& context) {
  context.clear();
  for (const Copy& copy : copies) append_ends(content.subspan(copy.at, copy.length), context);
}

void context_of_basis(ByteView basis, std::span<const Copy> copies, Bytes& context) {
  context.clear();
  for (const Copy& copy : copies) append_ends(basis.subspan(copy.from, copy.length), context);
}

}  // namespace vmferry::delta
