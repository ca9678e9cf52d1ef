#include "tests/unit/delta/librsync_judge.h"

#include <librsync.h>

#include <algorithm>
#include <stdexcept>

namespace vmferry::test {
namespace {

Bytes run_job(rs_job_t* job, ByteView input) {
  Bytes output;
  rs_buffers_t buffers{};
  buffers.next_in = reinterpret_cast<char*>(const_cast<std::byte*>(input.data()));
  buffers.avail_in = input.size();
  buffers.eof_in = 1;
  rs_result result;
  do {
    std::byte piece[65536];
    buffers.next_out = reinterpret_cast<char*>(piece);
    buffers.avail_out = sizeof piece;
    result = rs_job_iter(job, &buffers);
    output.insert(output.end(), piece, piece + (sizeof piece - buffers.avail_out));
  } while (result == RS_BLOCKED);
  rs_job_free(job);
  if (result != RS_DONE) throw std::runtime_error(rs_strerror(result));
  return output;
}

rs_result copy_from(void* basis, rs_long_t at, std::size_t* length, void** buffer) {
  const ByteView bytes = *static_cast<const ByteView*>(basis);
  if (at < 0 || static_cast<std::size_t>(at) >= bytes.size()) return RS_INPUT_ENDED;
  *length = std::min(*length, bytes.size() - static_cast<std::size_t>(at));
  *buffer = const_cast<std::byte*>(bytes.data() + at);
  return RS_DONE;
}

}  // namespace

Bytes librsync_signature(ByteView content, std::size_t block_bytes, std::size_t strong_bytes) {
  return run_job(rs_sig_begin(block_bytes, strong_bytes, RS_RK_BLAKE2_SIG_MAGIC), content);
}

Bytes librsync_delta(ByteView signature_file, ByteView content) {
  rs_signature_t* signature = nullptr;
  run_job(rs_loadsig_begin(&signature), signature_file);
  rs_build_hash_table(signature);
  const Bytes delta = run_job(rs_delta_begin(signature), content);
  rs_free_sumset(signature);
  return delta;
}

Bytes librsync_patch(ByteView basis, ByteView delta_file) {
  return run_job(rs_patch_begin(&copy_from, &basis), delta_file);
}

}  // namespace vmferry::test
