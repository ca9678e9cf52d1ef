// WOF: files that Windows compressed by itself (CompactOS): chunks in the stream WofCompressedData, compressed with
// XPRESS or LZX. The one adapter of wimlib. Every number is hostile: Error{malformed} where they make no sense.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "protocol/bytes.h"

namespace vmferry::crack {

inline constexpr std::uint32_t reparse_tag_wof = 0x80000017;
inline constexpr std::u16string_view wof_stream_name = u"WofCompressedData";

enum class WofAlgorithm : std::uint32_t { xpress4k = 0, lzx = 1, xpress8k = 2, xpress16k = 3 };

// From the reparse point's data (after tag, length and reserved). nullopt with `why` where the content is elsewhere (in a WIM file) or
// compressed in a way that we do not know.
std::optional<WofAlgorithm> wof_algorithm(ByteView reparse_data, std::string& why);

// `read_stored` reads the stream WofCompressedData, `use` gets the content in order.
void decompress_wof(WofAlgorithm algorithm, std::uint64_t stored_bytes, std::uint64_t content_bytes,
                    const std::function<void(std::uint64_t offset, std::span<std::byte> into)>& read_stored,
                    const std::function<void(std::uint64_t offset, ByteView content)>& use);

}  // namespace vmferry::crack
