#include "protocol/byte_range.h"

#include <string>

#include "protocol/error.h"

namespace vmferry {

void throw_overflow(std::string_view of_what) {
  throw Error(ErrorCode::malformed, "a number is too large", std::string(of_what));
}

}  // namespace vmferry
