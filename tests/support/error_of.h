// The sentence and code of what a call throws.
#pragma once

#include <gtest/gtest.h>

#include "protocol/error.h"

namespace vmferry::test {

template <typename Call>
Error error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::failed, "nothing was thrown");
}

}  // namespace vmferry::test
