// ClientBook: the clients of one store, in its folder clients/. Every call reads the files anew, so that what an
// administrator did a moment ago counts; several processes may use one folder. Thread-safe.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "target-server/access/client_record.h"

namespace vmferry::access {

class ClientBook {
 public:
  explicit ClientBook(const std::filesystem::path& store);

  // By name. A file that cannot be read is named in `unreadable`, and its client can do nothing.
  struct Listing {
    std::vector<ClientRecord> clients;
    std::vector<Invitation> invitations;   // not used and not expired
    std::vector<std::string> unreadable;   // sentences
  };
  Listing list() const;

  // nullopt where there is none, or it is revoked.
  std::optional<ClientRecord> by_key(const KeyFingerprint& key) const;
  std::optional<ClientRecord> by_name(const std::string& name) const;

  // An invitation for a TLS client, good once and until it expires; returns its secret. Error{exists} where a client of
  // the name is there and not revoked.
  using Secret = std::array<std::byte, 32>;
  Secret invite(ClientRecord client, std::chrono::milliseconds good_for);
  // Uses it up: the client is there from now on, with this key. Error{permission} where there is no such invitation, or
  // it has expired (the sentence does not say which).
  ClientRecord accept(const Secret& secret, const KeyFingerprint& key, const Uuid& client_uuid);

  void add(ClientRecord client);          // an SSH client, without an invitation; Error{exists}
  void revoke(const std::string& name);   // Error{not_found}; revokes an open invitation of that name too
  // The first controller that a client says it is, is the one that it may be.
  ClientRecord bind(const std::string& name, const Uuid& client_uuid);

  const std::filesystem::path& folder() const noexcept { return folder_; }

 private:
  std::filesystem::path file_of(const std::string& name) const;
  void refuse_taken(const std::string& name) const;

  const std::filesystem::path folder_, invitations_;
};

}  // namespace vmferry::access
