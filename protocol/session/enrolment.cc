#include "protocol/session/enrolment.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "protocol/control.h"
#include "protocol/error.h"
#include "protocol/messages.pb.h"

namespace vmferry::target {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t file_bytes_max = 64 << 10;
constexpr std::string_view suffix = ".target";
constexpr std::string_view first_line = "vmferry target 1";
constexpr std::string_view certificate_begins = "-----BEGIN CERTIFICATE-----";
// A target looks at the key in it, not at its dates.
constexpr std::chrono::days certificate_valid_for{3650};

fs::path file_of(const fs::path& directory, const HostPort& address) {
  std::string name = to_string(address);
  std::ranges::replace(name, '/', '_');
  return directory / (name + std::string(suffix));
}

// "word value" lines, then the key and its certificate as PEM.
std::string encode(const Enrolment& enrolment) {
  return std::string(first_line) + "\naddress " + to_string(enrolment.address) + "\nserver " +
         enrolment.server.to_string() + "\nclient " + enrolment.client + "\nroles " + enrolment.roles + "\nstore " +
         enrolment.store_uuid.to_string() + "\n" + enrolment.identity.key_pem + enrolment.identity.certificate_pem;
}

Enrolment decode(const fs::path& file, const std::string& text) {
  const auto fail = [&](const char* why) {
    throw Error(ErrorCode::damaged, "what is known of a target cannot be read", file.string(),
                std::string(why) + "; enrol again: vmferry enroll --replace -");
  };
  Enrolment enrolment;
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || line != first_line) fail("it has another first line");
  while (std::getline(lines, line) && !line.starts_with("-----")) {
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string word = line.substr(0, space), value = space < line.size() ? line.substr(space + 1) : "";
    if (word == "address") enrolment.address = parse_host_port(value);
    if (word == "server") {
      const auto server = KeyFingerprint::parse(value);
      if (!server) fail("the server's fingerprint is none");
      enrolment.server = *server;
    }
    if (word == "client") enrolment.client = value;
    if (word == "roles") enrolment.roles = value;
    if (word == "store") enrolment.store_uuid = Uuid::parse(value).value_or(Uuid{});
  }
  std::string* pem = &enrolment.identity.key_pem;
  do {
    if (line == certificate_begins) pem = &enrolment.identity.certificate_pem;
    *pem += line + "\n";
  } while (std::getline(lines, line));
  if (enrolment.server == KeyFingerprint{} || enrolment.address.host.empty()) fail("it is not whole");
  try {
    fingerprint_of(enrolment.identity);
    valid_until(enrolment.identity);
  } catch (const Error&) {
    fail("its key or certificate is none");
  }
  return enrolment;
}

// Whole or not at all, and never readable by others, at no instant.
void write_private(const fs::path& file, const std::string& text) {
  const std::string temporary = file.string() + ".new";
  ::unlink(temporary.c_str());
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) throw system_error(errno, "cannot keep what was enrolled", temporary);
  ByteView rest = as_bytes(text);
  int why = 0;
  while (!rest.empty() && why == 0) {
    const ssize_t written = ::write(descriptor, rest.data(), rest.size());
    if (written > 0) rest = rest.subspan(static_cast<std::size_t>(written));
    if (written < 0 && errno != EINTR) why = errno;
  }
  if (why == 0 && ::fsync(descriptor) != 0) why = errno;
  ::close(descriptor);
  if (why == 0 && ::rename(temporary.c_str(), file.c_str()) != 0) why = errno;
  if (why != 0) {
    ::unlink(temporary.c_str());
    throw system_error(why, "cannot keep what was enrolled", file.string());
  }
}

// The target's answer to the line's secret.
messages::Enrolled ask(Transport& transport, const EnrolmentLine& line, const ClientFacts& client) {
  wire::PacketWriter writer(transport);
  wire::PacketReader reader(transport);
  messages::Control question;
  question.set_request(1);
  messages::Enrol& enrol = *question.mutable_enrol();
  enrol.set_secret(wire::to_field(line.secret));
  enrol.set_client_uuid(wire::to_field(client.uuid.view()));
  enrol.set_client_name(client.name);
  wire::send_control(writer, question);
  const auto packet = reader.next(wire::hello_bytes_max);
  if (!packet || packet->type != wire::PacketType::control)
    throw Error(ErrorCode::unreachable, "the target gave no answer to the enrolment", to_string(line.address));
  const messages::Control answer = wire::parse_control(packet->payload);
  if (answer.has_failure()) throw wire::error_of_failure(answer);
  if (!answer.has_enrolled()) throw Error(ErrorCode::malformed, "the target broke the protocol", to_string(line.address));
  transport.finish_sending();
  return answer.enrolled();
}

std::string one_word(const std::string& text) {  // the target wrote it, and it becomes a line of a file
  std::string plain = text.substr(0, 255);
  std::ranges::replace_if(plain, [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; }, '_');
  return plain;
}

}  // namespace

fs::path default_enrolments_directory() {
  if (geteuid() == 0) return "/etc/vmferry/targets";
  const char* xdg = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  const fs::path base = xdg != nullptr && *xdg != 0 ? fs::path(xdg) : fs::path(home != nullptr ? home : "/") / ".config";
  return base / "vmferry/targets";
}

Enrolment load_enrolment(const fs::path& directory, const HostPort& address) {
  const fs::path file = file_of(directory, address);
  struct stat facts {};
  if (::stat(file.c_str(), &facts) != 0) {
    if (errno != ENOENT) throw system_error(errno, "cannot read what is known of the target", file.string());
    throw Error(ErrorCode::not_found, "this host has not enrolled at the target", to_string(address),
                "there: vmferry-target client add NAME --role sender,reader; here: vmferry enroll - (and paste the line)");
  }
  if ((facts.st_mode & 077) != 0)
    throw Error(ErrorCode::permission, "others may read the key of this host", file.string(), "chmod 600 it");
  std::ifstream stream(file, std::ios::binary);
  std::string text(file_bytes_max, 0);
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.empty()) throw Error(ErrorCode::permission, "cannot read what is known of the target", file.string());
  return decode(file, text);
}

std::vector<HostPort> enrolled_targets(const fs::path& directory) {
  std::vector<HostPort> targets;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, none)) {
    std::string name = entry.path().filename().string();
    if (!name.ends_with(suffix)) continue;
    name.resize(name.size() - suffix.size());
    try {
      targets.push_back(parse_host_port(name));
    } catch (const Error&) {  // somebody else's file
    }
  }
  std::ranges::sort(targets);
  return targets;
}

Enrolment enroll(const EnrolmentLine& line, const ClientFacts& client, const fs::path& directory, bool replace) {
  const fs::path file = file_of(directory, line.address);
  std::error_code failed;
  if (fs::exists(file, failed) && !replace)
    throw Error(ErrorCode::exists, "this host has enrolled at the target already", to_string(line.address),
                "--replace forgets that; the line was not used up");
  if (fs::create_directories(directory, failed)) ::chmod(directory.c_str(), 0700);
  if (failed) throw system_error(failed.value(), "cannot make the directory of enrolments", directory.string());
  if (::access(directory.c_str(), W_OK) != 0)
    throw system_error(errno, "cannot keep what is enrolled", directory.string());

  Enrolment enrolment;
  enrolment.address = line.address;
  enrolment.server = line.server;
  enrolment.identity = make_tls_identity(client.name.empty() ? "vmferry" : client.name, certificate_valid_for);
  TlsConnectOptions connecting;
  connecting.identity = enrolment.identity;
  connecting.server = line.server;
  const auto transport = connect_tls(line.address, connecting);
  const messages::Enrolled answer = ask(*transport, line, client);
  enrolment.client = one_word(answer.name());
  enrolment.roles = one_word(answer.roles());
  enrolment.store_uuid = wire::uuid_of_field(answer.store_uuid());
  write_private(file, encode(enrolment));
  return enrolment;
}

}  // namespace vmferry::target
