#include "protocol/delta/librsync_patch.h"

#include <librsync.h>

#include <algorithm>
#include <memory>
#include <new>

namespace vmferry::delta {
namespace {

// The pieces of a copy come straight from the basis.
rs_result give_basis(void* opaque, rs_long_t at, std::size_t* length, void** buffer) {
  const ByteView& basis = *static_cast<const ByteView*>(opaque);
  if (at < 0 || static_cast<std::uintmax_t>(at) >= basis.size()) return RS_INPUT_ENDED;
  const ByteView rest = basis.subspan(static_cast<std::size_t>(at));
  *length = std::min(*length, rest.size());
  *buffer = const_cast<std::byte*>(rest.data());  // librsync only reads
  return RS_DONE;
}

struct FreeJob {
  void operator()(rs_job_t* job) const { rs_job_free(job); }
};

}  // namespace

bool librsync_patch(ByteView basis, ByteView delta_file, std::span<std::byte> content) {
  // It would write its complaints about hostile deltas to standard error.
  static const bool quiet = (rs_trace_set_level(RS_LOG_EMERG), true);
  static_cast<void>(quiet);
  const std::unique_ptr<rs_job_t, FreeJob> job(rs_patch_begin(&give_basis, &basis));
  if (job == nullptr) throw std::bad_alloc();
  rs_buffers_t buffers{};
  buffers.next_in = reinterpret_cast<char*>(const_cast<std::byte*>(delta_file.data()));
  buffers.avail_in = delta_file.size();
  buffers.eof_in = 1;
  buffers.next_out = reinterpret_cast<char*>(content.data());
  buffers.avail_out = content.size();
  // RS_BLOCKED: it wants more room than the content has.
  return rs_job_iter(job.get(), &buffers) == RS_DONE && buffers.avail_out == 0 && buffers.avail_in == 0;
}

}  // namespace vmferry::delta
