#include "tests/golden/formats/doc_examples.h"

#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace vmferry::test {

Bytes example_bytes(const std::string& page, const std::string& name) {
  const std::filesystem::path path = std::filesystem::path(VMFERRY_SOURCE_DIR) / "docs/format" / page;
  std::ifstream file(path);
  if (!file) throw std::runtime_error("no page " + path.string());
  std::string line;
  while (std::getline(file, line) && line != "```hex name=" + name) {
  }
  std::string digits;
  while (std::getline(file, line) && line != "```")
    for (const char c : line.substr(0, line.find('|')))
      if (std::isspace(static_cast<unsigned char>(c)) == 0) digits += c;
  if (!file) throw std::runtime_error("no whole example " + name + " in " + path.string());
  return from_hex(digits);
}

void expect_hex(ByteView got, ByteView expected) { EXPECT_EQ(to_hex(got), to_hex(expected)); }

}  // namespace vmferry::test
