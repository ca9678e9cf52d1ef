// The worked examples of docs/format/*.md, read from the pages themselves: what a page shows is what the code does.
#pragma once

#include <string>

#include "protocol/bytes.h"

namespace vmferry::test {

// The bytes of the block ```hex name=NAME in docs/format/PAGE. Of each line, what follows '|' is comment.
Bytes example_bytes(const std::string& page, const std::string& name);
void expect_hex(ByteView got, ByteView expected);

}  // namespace vmferry::test
