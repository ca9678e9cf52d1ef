#include "target-server/access/client_book.h"

#include <algorithm>

#include "protocol/chunk_id.h"
#include "protocol/error.h"
#include "protocol/now.h"
#include "protocol/random_bytes.h"
#include "target-server/store/file_lock.h"
#include "target-server/store/local_files.h"

namespace vmferry::access {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view suffix = ".toml";
constexpr int lock_timeout_ms = 5000;

// The secret itself is nowhere on this disk.
std::string file_name_of(const ClientBook::Secret& secret) { return to_hex(blake3_of(secret)) + std::string(suffix); }

// Whoever changes the book holds this; readers need nothing, since every file is replaced as a whole.
store::FileLock lock_book(const fs::path& folder) {
  store::make_directory(folder);
  return store::FileLock::take(folder / ".lock", lock_timeout_ms, "somebody else is changing the clients; try again");
}

template <typename Use>
void each_file(const fs::path& folder, Use use) {
  std::vector<std::string> names = store::names_in(folder);
  std::ranges::sort(names);
  for (const std::string& name : names)
    if (name.ends_with(suffix) && !name.starts_with('.')) use(folder / name);
}

}  // namespace

ClientBook::ClientBook(const fs::path& store) : folder_(store / "clients"), invitations_(folder_ / "invitations") {}

fs::path ClientBook::file_of(const std::string& name) const { return folder_ / (name + std::string(suffix)); }

ClientBook::Listing ClientBook::list() const {
  Listing listing;
  const auto take = [&](const fs::path& folder, auto read) {
    each_file(folder, [&](const fs::path& file) {
      try {
        read(file);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found) listing.unreadable.emplace_back(error.what());  // else: just removed
      }
    });
  };
  take(folder_, [&](const fs::path& file) { listing.clients.push_back(read_client(file)); });
  take(invitations_, [&](const fs::path& file) {
    Invitation invitation = read_invitation(file);
    if (invitation.expires_ms > now_ms()) listing.invitations.push_back(std::move(invitation));
  });
  return listing;
}

std::optional<ClientRecord> ClientBook::by_key(const KeyFingerprint& key) const {
  const Listing listing = list();
  for (const ClientRecord& client : listing.clients)
    if (client.key == key && !client.revoked()) return client;
  return std::nullopt;
}

std::optional<ClientRecord> ClientBook::by_name(const std::string& name) const {
  if (!valid_client_name(name) || !store::facts_of(file_of(name))) return std::nullopt;
  ClientRecord client = read_client(file_of(name));
  if (client.revoked() || client.name != name) return std::nullopt;
  return client;
}

void ClientBook::refuse_taken(const std::string& name) const {
  check_client_name(name);
  if (by_name(name))
    throw Error(ErrorCode::exists, "there is a client of this name", name,
                "take another name, or revoke it first: vmferry-target client revoke " + name);
}

ClientBook::Secret ClientBook::invite(ClientRecord client, std::chrono::milliseconds good_for) {
  const store::FileLock lock = lock_book(folder_);
  refuse_taken(client.name);
  // The latest invitation of a name is the one that counts; expired ones are cleared away.
  each_file(invitations_, [&](const fs::path& file) {
    try {
      const Invitation other = read_invitation(file);
      if (other.client.name != client.name && other.expires_ms > now_ms()) return;
    } catch (const Error&) {  // nobody can use it
    }
    store::remove_durably(file);
  });
  Secret secret;
  fill_random(secret);
  client.added_ms = now_ms();
  write_invitation(invitations_ / file_name_of(secret), {std::move(client), now_ms() + good_for.count()});
  return secret;
}

ClientRecord ClientBook::accept(const Secret& secret, const KeyFingerprint& key, const Uuid& client_uuid) {
  const store::FileLock lock = lock_book(folder_);
  const fs::path file = invitations_ / file_name_of(secret);
  const auto refuse = [] {
    throw Error(ErrorCode::permission, "this enrolment line is not good", {},
                "it was used already, it is older than an hour, or a newer one was made: ask for another one "
                "(vmferry-target client add)");
  };
  if (!store::facts_of(file)) refuse();
  const Invitation invitation = read_invitation(file);
  store::remove_durably(file);
  if (invitation.expires_ms <= now_ms()) refuse();
  refuse_taken(invitation.client.name);
  if (by_key(key)) throw Error(ErrorCode::exists, "this key belongs to another client of the store", key.to_string());
  ClientRecord client = invitation.client;
  client.key = key;
  client.client_uuid = client_uuid;
  client.added_ms = now_ms();
  write_client(file_of(client.name), client);
  return client;
}

void ClientBook::add(ClientRecord client) {
  const store::FileLock lock = lock_book(folder_);
  refuse_taken(client.name);
  client.added_ms = now_ms();
  write_client(file_of(client.name), client);
}

void ClientBook::revoke(const std::string& name) {
  const store::FileLock lock = lock_book(folder_);
  check_client_name(name);
  bool found = false;
  each_file(invitations_, [&](const fs::path& file) {
    if (read_invitation(file).client.name != name) return;
    found = store::remove_durably(file) || found;
  });
  if (auto client = by_name(name)) {
    client->revoked_ms = now_ms();
    write_client(file_of(name), *client);
    found = true;
  }
  if (!found)
    throw Error(ErrorCode::not_found, "there is no such client", name,
                "`vmferry-target client list` shows who is there");
}

ClientRecord ClientBook::bind(const std::string& name, const Uuid& client_uuid) {
  const store::FileLock lock = lock_book(folder_);
  auto client = by_name(name);
  if (!client) throw Error(ErrorCode::permission, "this client was revoked", name);
  if (client->client_uuid.is_none()) {
    client->client_uuid = client_uuid;
    write_client(file_of(name), *client);
  }
  return *client;
}

}  // namespace vmferry::access
