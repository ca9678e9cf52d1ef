#include "target-server/access/client_record.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <toml.hpp>

#include "protocol/error.h"
#include "target-server/store/local_files.h"

namespace vmferry::access {
namespace {

constexpr std::uint64_t file_bytes_max = 64 << 10;
constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t patterns_max = 256;

struct NamedRole {
  const char* name;
  Role role;
};
constexpr std::array<NamedRole, 4> role_names = {{{"sender", Role::sender},
                                                  {"reader", Role::reader},
                                                  {"replica", Role::replica},
                                                  {"operator", Role::operate}}};

[[noreturn]] void damaged(const std::filesystem::path& file, const std::string& why) {
  throw Error(ErrorCode::damaged, "a client's file cannot be read", file.string(),
              why + "; put it right, or remove it and add the client again");
}

toml::value parse(const std::filesystem::path& file) {
  const Bytes bytes = store::read_whole(file, file_bytes_max);
  std::istringstream text{std::string(as_text(bytes))};
  try {
    return toml::parse(text, file.string());
  } catch (const std::exception& error) {
    damaged(file, error.what());
  }
}

ClientRecord client_of(const toml::value& values, const std::filesystem::path& file) try {
  ClientRecord client;
  client.name = toml::find<std::string>(values, "name");
  client.roles = Roles::parse(toml::find<std::string>(values, "roles"));
  client.machines = toml::find_or<std::vector<std::string>>(values, "machines", {});
  if (values.contains("key")) {
    client.key = KeyFingerprint::parse(toml::find<std::string>(values, "key"));
    if (!client.key) damaged(file, "its key is no fingerprint");
  }
  if (values.contains("client_uuid"))
    client.client_uuid = Uuid::parse(toml::find<std::string>(values, "client_uuid")).value_or(Uuid{});
  client.added_ms = toml::find_or<std::int64_t>(values, "added_ms", 0);
  client.revoked_ms = toml::find_or<std::int64_t>(values, "revoked_ms", 0);
  if (!valid_client_name(client.name) || client.machines.size() > patterns_max) damaged(file, "its name is not valid");
  return client;
} catch (const Error& error) {
  if (error.code() == ErrorCode::damaged) throw;
  damaged(file, error.what());
} catch (const std::exception& error) {  // toml11: a member that is not there, or of another type
  damaged(file, error.what());
}

toml::value values_of(const ClientRecord& client) {
  toml::value values(toml::table{{"name", client.name},
                                 {"roles", client.roles.to_string()},
                                 {"machines", client.machines},
                                 {"added_ms", client.added_ms}});
  if (client.key) values["key"] = client.key->to_string();
  if (!client.client_uuid.is_none()) values["client_uuid"] = client.client_uuid.to_string();
  if (client.revoked()) values["revoked_ms"] = client.revoked_ms;
  return values;
}

void write(const std::filesystem::path& file, const toml::value& values) {
  std::ostringstream text;
  text << values;
  const std::string content = text.str();
  store::make_directory(file.parent_path());
  store::write_durably(file, as_bytes(content), store::Existing::replace);
}

}  // namespace

Roles Roles::parse(const std::string& text) {
  Roles roles;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    const auto* found = std::ranges::find_if(role_names, [&](const NamedRole& named) { return word == named.name; });
    if (found == role_names.end())
      throw Error(ErrorCode::usage, "not a role", word, "sender, reader, replica or operator, with commas between");
    roles.add(found->role);
  }
  if (roles.none()) throw Error(ErrorCode::usage, "no role is named", {}, "sender, reader, replica or operator");
  return roles;
}

std::string Roles::to_string() const {
  std::string text;
  for (const NamedRole& named : role_names)
    if (has(named.role)) text += (text.empty() ? "" : ",") + std::string(named.name);
  return text;
}

bool valid_client_name(const std::string& name) {
  return !name.empty() && name.size() <= name_bytes_max && name.front() != '.' && name.front() != '-' &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                  c == '-';
         });
}

void check_client_name(const std::string& name) {
  if (!valid_client_name(name))
    throw Error(ErrorCode::usage, "this cannot be a client's name", name,
                "letters, digits, '.', '_' and '-', at most " + std::to_string(name_bytes_max));
}

ClientRecord read_client(const std::filesystem::path& file) { return client_of(parse(file), file); }

void write_client(const std::filesystem::path& file, const ClientRecord& client) { write(file, values_of(client)); }

Invitation read_invitation(const std::filesystem::path& file) {
  const toml::value values = parse(file);
  Invitation invitation{client_of(values, file), 0};
  invitation.expires_ms = toml::find_or<std::int64_t>(values, "expires_ms", 0);
  return invitation;
}

void write_invitation(const std::filesystem::path& file, const Invitation& invitation) {
  toml::value values = values_of(invitation.client);
  values["expires_ms"] = invitation.expires_ms;
  write(file, values);
}

}  // namespace vmferry::access
