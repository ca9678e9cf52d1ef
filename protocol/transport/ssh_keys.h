// Keys as SSH writes them: the public half as it travels (a blob whose first string is its type), fingerprints, and what
// a private key's file says of itself. Pure functions but for read_key_file().
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/bytes.h"

namespace vmferry {

// SSH's integers are big-endian, and its strings have a length of four bytes.
void append_ssh_u32(Bytes& to, std::uint32_t value);
void append_ssh_string(Bytes& to, ByteView value);
// Takes one off the front of `rest`; nullopt where it is not whole.
std::optional<std::uint32_t> take_ssh_u32(ByteView& rest);
std::optional<ByteView> take_ssh_string(ByteView& rest);

std::optional<Bytes> decode_base64(std::string_view text);  // nullopt: it is none
std::string encode_base64(ByteView bytes);

std::string key_type_of(ByteView blob);  // "ssh-ed25519"; empty: this is no key
// "ssh-ed25519 SHA256:..." as ssh-keygen -l shows it.
std::string fingerprint_of_key(ByteView blob);
// Of hosts and of users. RSA keys are not: libssh2 1.10 signs and checks them with SHA-1 only, which servers refuse.
bool is_usable_key_type(std::string_view type);

struct KeyFile {
  std::string content;   // PEM
  std::string type;      // as key_type_of() has it, or "rsa", "ecdsa"; empty: not known
  Bytes public_key;      // the blob; empty: not known
  bool encrypted = false;
};
// Throws Error: what the system says, or malformed where it is no private key.
KeyFile read_key_file(const std::filesystem::path& path);

}  // namespace vmferry
