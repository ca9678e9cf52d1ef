#include "engine/disk/deflate.h"

#include <zlib.h>

#include "protocol/error.h"

namespace vmferry::disk {
namespace {

// Faster levels cost little here: a restore is bound by the network or by this.
constexpr int deflate_level = 1;

// An inflater that its thread uses again: setting one up costs more than a small grain.
class Inflater {
 public:
  Inflater() {
    if (::inflateInit(&stream_) != Z_OK) throw Error(ErrorCode::failed, "cannot start zlib");
  }
  ~Inflater() { ::inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  std::optional<std::size_t> run(ByteView deflated, std::span<std::byte> into) {
    ::inflateReset(&stream_);
    stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(deflated.data()));
    stream_.avail_in = static_cast<uInt>(deflated.size());
    stream_.next_out = reinterpret_cast<Bytef*>(into.data());
    stream_.avail_out = static_cast<uInt>(into.size());
    if (::inflate(&stream_, Z_FINISH) != Z_STREAM_END) return std::nullopt;
    return into.size() - stream_.avail_out;
  }

 private:
  z_stream stream_{};
};

}  // namespace

std::optional<std::size_t> inflate_grain(ByteView deflated, std::span<std::byte> into) {
  thread_local Inflater inflater;
  return inflater.run(deflated, into);
}

void deflate_grain(ByteView grain, Bytes& out) {
  const std::size_t begin = out.size();
  uLongf length = ::compressBound(grain.size());
  out.resize(begin + length);
  if (::compress2(reinterpret_cast<Bytef*>(out.data() + begin), &length, reinterpret_cast<const Bytef*>(grain.data()),
                  grain.size(), deflate_level) != Z_OK)
    throw Error(ErrorCode::failed, "cannot compress a grain");
  out.resize(begin + length);
}

std::uint32_t crc32_of(ByteView content) {
  return static_cast<std::uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
}

}  // namespace vmferry::disk
