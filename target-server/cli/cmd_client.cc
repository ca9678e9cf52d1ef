
#include <CLI/CLI.hpp>
#include <array>
#include <ctime>

#include "protocol/error.h"
#include "protocol/session/enrolment.h"
#include "target-server/access/client_book.h"
#include "target-server/cli/commands.h"
#include "target-server/cli/json_members.h"
#include "target-server/cli/store_owner.h"
#include "target-server/replicate/stores.h"
#include "target-server/serve/server.h"
#include "target-server/store/about_file.h"

namespace vmferry::target_server {
namespace {

constexpr std::chrono::hours invitation_good_for{1};

struct AddArguments {
  std::string store, name, roles, address;
  std::vector<std::string> machines;
  bool ssh = false;
};

std::string time_text(std::int64_t ms) {
  std::array<char, 32> text{};
  const std::time_t seconds = ms / 1000;
  std::tm local{};
  if (::localtime_r(&seconds, &local) == nullptr) return "?";
  return std::string(text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &local));
}

access::ClientBook book_of(const std::string& store) {
  become_owner_of(store);
  store::read_about(store);  // Error{not_found}: no store there
  return access::ClientBook(store);
}

Outcome add_ssh(const AddArguments& arguments, access::ClientRecord client) {
  book_of(arguments.store).add(client);
  const std::string directory = std::filesystem::absolute(arguments.store).string();
  const std::string forced =
      "command=\"vmferry-target session --stdio --store " + directory + " --client " + client.name + "\",restrict";
  const nlohmann::ordered_json facts = {{"client", client.name}, {"roles", client.roles.to_string()},
                                        {"authorized_keys", forced}};
  return {"Client " + client.name + " (" + client.roles.to_string() +
              ") may come over SSH, once its key is in the authorized_keys of this account, in a line of this form:\n" +
              forced + " ssh-ed25519 AAAA... " + client.name + "\n",
          json_members(facts)};
}

Outcome add(const AddArguments& arguments) {
  access::ClientRecord client;
  client.name = arguments.name;
  client.roles = access::Roles::parse(arguments.roles);
  client.machines = arguments.machines;
  access::check_client_name(client.name);
  if (arguments.ssh) return add_ssh(arguments, client);
  target::EnrolmentLine line;
  line.address = parse_host_port(arguments.address.empty() ? host_name() : arguments.address);
  access::ClientBook book = book_of(arguments.store);
  line.server = fingerprint_of(server_identity(arguments.store));
  line.secret = book.invite(client, invitation_good_for);
  const std::string text = target::encode_enrolment_line(line);
  const nlohmann::ordered_json facts = {{"client", client.name}, {"roles", client.roles.to_string()},
                                        {"address", to_string(line.address)}, {"enrolment", text},
                                        {"good_for_seconds", 3600}};
  return {text + "\n", json_members(facts)};
}

nlohmann::ordered_json json_of(const access::ClientRecord& client) {
  nlohmann::ordered_json facts = {{"name", client.name}, {"roles", client.roles.to_string()},
                                  {"machines", client.machines}, {"added_ms", client.added_ms}};
  facts["key"] = client.key ? nlohmann::ordered_json(client.key->to_string()) : nlohmann::ordered_json();
  if (!client.client_uuid.is_none()) facts["client_uuid"] = client.client_uuid.to_string();
  if (client.revoked()) facts["revoked_ms"] = client.revoked_ms;
  return facts;
}

std::string row_of(const access::ClientRecord& client, const std::string& state) {
  std::string machines;
  for (const std::string& pattern : client.machines) machines += (machines.empty() ? "" : ",") + pattern;
  const auto padded = [](std::string text, std::size_t width) {
    text.resize(std::max(text.size(), width), ' ');
    return text + "  ";
  };
  return padded(client.name, 16) + padded(client.roles.to_string(), 15) + padded(machines.empty() ? "all" : machines, 12) +
         padded(state, 26) + (client.key ? client.key->to_string() : "ssh") + "\n";
}

Outcome list(const std::string& store) {
  const access::ClientBook::Listing listing = book_of(store).list();
  std::string text = "NAME              ROLES            MACHINES      STATE                       KEY\n";
  nlohmann::ordered_json clients = nlohmann::ordered_json::array(), invited = nlohmann::ordered_json::array();
  for (const access::ClientRecord& client : listing.clients) {
    text += row_of(client, client.revoked() ? "revoked " + time_text(client.revoked_ms) : "since " + time_text(client.added_ms));
    clients.push_back(json_of(client));
  }
  for (const access::Invitation& invitation : listing.invitations) {
    text += row_of(invitation.client, "invited until " + time_text(invitation.expires_ms));
    invited.push_back(json_of(invitation.client));
    invited.back()["expires_ms"] = invitation.expires_ms;
  }
  for (const std::string& sentence : listing.unreadable) text += "UNREADABLE  " + sentence + "\n";
  const nlohmann::ordered_json facts = {{"clients", clients}, {"invitations", invited},
                                        {"unreadable", listing.unreadable}};
  return {text, json_members(facts), listing.unreadable.empty() ? 0 : 2};
}

Outcome revoke(const std::string& store, const std::string& name) {
  book_of(store).revoke(name);
  return {"Client " + name + " was revoked; what it has open at a running server ends now. Its restore points stay.\n",
          json_members(nlohmann::ordered_json{{"client", name}, {"revoked", true}})};
}

Outcome renew(const std::string& store) {
  become_owner_of(store);
  store::read_about(store);
  const TlsIdentity identity = renew_server_certificate(store);
  const auto until = std::chrono::duration_cast<std::chrono::milliseconds>(valid_until(identity).time_since_epoch()).count();
  const nlohmann::ordered_json facts = {{"key", fingerprint_of(identity).to_string()}, {"valid_until_ms", until}};
  return {"The certificate was renewed until " + time_text(until) + ", for the same key " +
              fingerprint_of(identity).to_string() + ": clients need nothing new. Restart the server to use it.\n",
          json_members(facts)};
}

void add_store_option(CLI::App& command, std::string& store) {
  command.add_option("--store", store, "the store's directory")->required()->type_name("DIR");
}

}  // namespace

void add_client_command(CLI::App& app, Invocation& invocation) {
  CLI::App* client = app.add_subcommand("client", "Who may connect, and what for");
  client->require_subcommand(1);

  const auto arguments = std::make_shared<AddArguments>();
  CLI::App* adding = client->add_subcommand("add", "Let a client in; prints a line for `vmferry enroll -`, good once and for an hour");
  adding->add_option("name", arguments->name, "what the client is called here")->required()->type_name("NAME");
  adding->add_option("--role", arguments->roles, "sender, reader, replica, operator, with commas between")
      ->required()
      ->type_name("ROLES");
  adding->add_option("--machines", arguments->machines, "only machines of names like these: web*, db-?")
      ->delimiter(',')
      ->type_name("PATTERN");
  adding->add_option("--address", arguments->address, "where clients reach this server (this host's name, port 7447)")
      ->type_name("HOST[:PORT]");
  adding->add_flag("--ssh", arguments->ssh, "it comes over SSH; prints what belongs into authorized_keys");
  add_store_option(*adding, arguments->store);
  adding->footer("sender: adds restore points to machines of its own; reader: restores everything; replica: brings another target's\n"
                 "points; operator: reads and checks everything. None can change or delete a restore point.\n"
                 "Example:\n  vmferry-target client add web --role sender,reader --store /backup/vmferry --address backup.example");
  adding->callback([=, &invocation] { invocation.run = [=] { return add(*arguments); }; });

  const auto listed = std::make_shared<std::string>();
  CLI::App* listing = client->add_subcommand("list", "Show the clients");
  add_store_option(*listing, *listed);
  listing->callback([=, &invocation] { invocation.run = [=] { return list(*listed); }; });

  const auto revoked = std::make_shared<AddArguments>();
  CLI::App* revoking = client->add_subcommand("revoke", "Lock a client out, at once; what it has open ends");
  revoking->add_option("name", revoked->name, "the client")->required()->type_name("NAME");
  add_store_option(*revoking, revoked->store);
  revoking->callback([=, &invocation] { invocation.run = [=] { return revoke(revoked->store, revoked->name); }; });
}

void add_certificate_command(CLI::App& app, Invocation& invocation) {
  CLI::App* certificate = app.add_subcommand("certificate", "The certificate that the server shows");
  certificate->require_subcommand(1);
  const auto store = std::make_shared<std::string>();
  CLI::App* renewing = certificate->add_subcommand("renew", "Make a new one for the same key");
  add_store_option(*renewing, *store);
  renewing->callback([=, &invocation] { invocation.run = [=] { return renew(*store); }; });
}

}  // namespace vmferry::target_server
