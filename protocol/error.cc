#include "protocol/error.h"

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace vmferry {
namespace {

constexpr std::array<std::string_view, 14> code_names = {
    "failed",  "usage",       "not_found", "exists",   "refused",    "unsupported", "malformed",
    "damaged", "unreachable", "busy",      "no_space", "permission", "version",     "cancelled"};
static_assert(code_names.size() == static_cast<std::size_t>(ErrorCode::cancelled) + 1);

std::string sentence(std::string what_happened, const std::string& object, const std::string& cause_or_advice) {
  if (!object.empty()) what_happened += ": " + object;
  if (!cause_or_advice.empty()) what_happened += ": " + cause_or_advice;
  return what_happened;
}

ErrorCode code_for_errno(int error_number) noexcept {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: return ErrorCode::not_found;
    case EEXIST: return ErrorCode::exists;
    case ENOSPC:
    case EDQUOT: return ErrorCode::no_space;
    case EACCES:
    case EPERM:
    case EROFS: return ErrorCode::permission;
    case EBUSY:
    case EAGAIN: return ErrorCode::busy;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE: return ErrorCode::unreachable;
    default: return ErrorCode::failed;
  }
}

}  // namespace

std::string_view error_code_name(ErrorCode code) noexcept { return code_names[static_cast<std::size_t>(code)]; }

ErrorCode error_code_from_name(std::string_view name) noexcept {
  for (std::size_t i = 0; i < code_names.size(); ++i)
    if (code_names[i] == name) return static_cast<ErrorCode>(i);
  return ErrorCode::failed;
}

int exit_code_for(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::unreachable:
    case ErrorCode::busy: return 3;
    case ErrorCode::damaged: return 4;
    case ErrorCode::usage: return 64;
    default: return 1;
  }
}

Error::Error(ErrorCode code, std::string what_happened, std::string object, std::string cause_or_advice)
    : std::runtime_error(sentence(std::move(what_happened), object, cause_or_advice)),
      code_(code),
      object_(std::move(object)) {}

Error Error::as_told(ErrorCode code, const std::string& sentence, std::string object) {
  Error error(code, sentence);
  error.object_ = std::move(object);
  return error;
}

Error system_error(int error_number, std::string what_happened, std::string object) {
  return Error(code_for_errno(error_number), std::move(what_happened), std::move(object),
               std::generic_category().message(error_number));
}

}  // namespace vmferry
