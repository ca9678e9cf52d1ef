// What users and services write: logs, mails, JSON, pictures. The same seed gives the same bytes.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/bytes.h"

namespace vmferry::bench {

std::string log_lines(std::uint64_t seed, std::size_t bytes, std::uint64_t first_second);
std::string json_document(std::uint64_t seed, std::size_t bytes);
std::string mail(std::uint64_t seed, std::size_t text_bytes, ByteView attachment);  // the attachment as base64
Bytes picture(std::uint64_t seed, std::size_t bytes);  // does not compress, like any JPEG, ZIP or video

}  // namespace vmferry::bench
