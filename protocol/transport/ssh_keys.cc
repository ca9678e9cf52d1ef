#include "protocol/transport/ssh_keys.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>

#include "protocol/error.h"

namespace vmferry {
namespace {

constexpr std::size_t key_file_bytes_max = 64 * 1024;
constexpr std::size_t base64_bytes_max = 1 << 20;
constexpr std::string_view openssh_magic{"openssh-key-v1\0", 15};

std::string read_text(const std::filesystem::path& path, std::size_t bytes_max) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw system_error(errno, "cannot read the key", path);
  std::string text(bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) throw system_error(errno, "cannot read the key", path);
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > bytes_max) throw Error(ErrorCode::malformed, "this file is too long for a key", path);
  return text;
}

// What is between the first BEGIN line and its END.
std::string_view pem_body(std::string_view text, std::string& label) {
  constexpr std::string_view begin = "-----BEGIN ", dashes = "-----";
  const std::size_t from = text.find(begin);
  if (from == std::string_view::npos) return {};
  const std::size_t label_end = text.find(dashes, from + begin.size());
  if (label_end == std::string_view::npos) return {};
  label = text.substr(from + begin.size(), label_end - from - begin.size());
  const std::size_t body = label_end + dashes.size();
  const std::size_t end = text.find("-----END ", body);
  return end == std::string_view::npos ? std::string_view{} : text.substr(body, end - body);
}

// PROTOCOL.key of OpenSSH: magic, cipher, key derivation, its options, number of keys, public key, ...
void read_openssh_header(std::string_view body, KeyFile& key) {
  std::string joined;
  std::copy_if(body.begin(), body.end(), std::back_inserter(joined), [](char c) { return c != '\n' && c != '\r'; });
  const std::optional<Bytes> bytes = decode_base64(joined);
  if (!bytes || !as_text(*bytes).starts_with(openssh_magic)) return;
  ByteView rest = ByteView(*bytes).subspan(openssh_magic.size());
  const auto cipher = take_ssh_string(rest);
  const auto derivation = take_ssh_string(rest), options = take_ssh_string(rest);
  const auto count = take_ssh_u32(rest);
  const auto blob = take_ssh_string(rest);
  if (!cipher || !derivation || !options || count != 1u || !blob) return;
  key.encrypted = as_text(*cipher) != "none";
  key.type = key_type_of(*blob);
  key.public_key.assign(blob->begin(), blob->end());
}

}  // namespace

void append_ssh_u32(Bytes& to, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<std::byte>(value >> shift));
}

void append_ssh_string(Bytes& to, ByteView value) {
  append_ssh_u32(to, static_cast<std::uint32_t>(value.size()));
  to.insert(to.end(), value.begin(), value.end());
}

std::optional<std::uint32_t> take_ssh_u32(ByteView& rest) {
  if (rest.size() < 4) return std::nullopt;
  std::uint32_t value = 0;
  for (const std::byte b : rest.first(4)) value = value << 8 | std::to_integer<std::uint32_t>(b);
  rest = rest.subspan(4);
  return value;
}

std::optional<ByteView> take_ssh_string(ByteView& rest) {
  const auto length = take_ssh_u32(rest);
  if (!length || *length > rest.size()) return std::nullopt;
  const ByteView taken = rest.first(*length);
  rest = rest.subspan(*length);
  return taken;
}

std::optional<Bytes> decode_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0 || text.size() > base64_bytes_max) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  Bytes bytes(text.size() / 4 * 3);
  const int count = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (count < 0) return std::nullopt;
  bytes.resize(static_cast<std::size_t>(count) - padding);
  return bytes;
}

std::string encode_base64(ByteView bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // and the zero that it ends with
  const int count = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(count));
  return text;
}

std::string key_type_of(ByteView blob) {
  const auto type = take_ssh_string(blob);
  return type ? std::string(as_text(*type)) : std::string();
}

std::string fingerprint_of_key(ByteView blob) {
  std::array<std::byte, SHA256_DIGEST_LENGTH> digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(blob.data()), blob.size(),
           reinterpret_cast<unsigned char*>(digest.data()));
  std::string text = encode_base64(digest);
  while (text.ends_with('=')) text.pop_back();
  return key_type_of(blob) + " SHA256:" + text;
}

bool is_usable_key_type(std::string_view type) {
  return type == "ssh-ed25519" || type == "ecdsa-sha2-nistp256" || type == "ecdsa-sha2-nistp384" ||
         type == "ecdsa-sha2-nistp521";
}

KeyFile read_key_file(const std::filesystem::path& path) {
  KeyFile key;
  key.content = read_text(path, key_file_bytes_max);
  std::string label;
  const std::string_view body = pem_body(key.content, label);
  if (body.empty() || label.find("PRIVATE KEY") == std::string::npos)
    throw Error(ErrorCode::malformed, "this is no private key", path, "name the file without .pub");
  if (label.starts_with("OPENSSH")) {
    read_openssh_header(body, key);
  } else {
    key.encrypted = label.starts_with("ENCRYPTED") || body.find("ENCRYPTED") != std::string_view::npos;
    if (label.starts_with("RSA")) key.type = "rsa";
    if (label.starts_with("EC ")) key.type = "ecdsa";
  }
  return key;
}

}  // namespace vmferry
