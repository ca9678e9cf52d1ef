#include "protocol/transport/tcp_resolve.h"

#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <future>
#include <memory>
#include <optional>
#include <thread>

#include "protocol/error.h"

namespace vmferry {
namespace {

constexpr std::size_t addresses_max = 16;

struct Answer {
  int fault = 0;
  int system_fault = 0;
  std::vector<SocketAddress> addresses;
};

Answer ask(const std::string& host, const std::string& port, int flags) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  Answer answer;
  answer.fault = ::getaddrinfo(host.c_str(), port.c_str(), &wanted, &list);
  answer.system_fault = errno;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
  for (const addrinfo* each = list; answer.fault == 0 && each != nullptr; each = each->ai_next) {
    if (each->ai_addrlen > sizeof(sockaddr_storage)) continue;
    SocketAddress address;
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.bytes = each->ai_addrlen;
    answer.addresses.push_back(address);
  }
  return answer;
}

// getaddrinfo() cannot be interrupted and may take many times what we have, so a thread of its own waits for it, which we
// leave behind: it holds nothing but its copy of the question.
std::optional<Answer> ask_within(const std::string& host, const std::string& port, std::chrono::milliseconds timeout) {
  const auto promise = std::make_shared<std::promise<Answer>>();
  auto answer = promise->get_future();
  std::thread([promise, host, port] { promise->set_value(ask(host, port, 0)); }).detach();
  if (answer.wait_for(timeout) != std::future_status::ready) return std::nullopt;
  return answer.get();
}

std::vector<SocketAddress> alternate_families(const std::vector<SocketAddress>& preferred) {
  std::vector<SocketAddress> first, other, result;
  for (const SocketAddress& address : preferred)
    (address.family() == preferred.front().family() ? first : other).push_back(address);
  for (std::size_t i = 0; i < std::max(first.size(), other.size()); ++i) {
    if (i < first.size()) result.push_back(first[i]);
    if (i < other.size()) result.push_back(other[i]);
  }
  if (result.size() > addresses_max) result.resize(addresses_max);
  return result;
}

}  // namespace

std::vector<SocketAddress> resolve_tcp(const HostPort& where, std::chrono::milliseconds timeout, ResolveFor purpose) {
  const auto fail = [&](const std::string& why) {
    if (purpose == ResolveFor::listening) throw Error(ErrorCode::not_found, "cannot listen", to_string(where), why);
    throw Error(ErrorCode::unreachable, "cannot reach the target", to_string(where), why);
  };
  const std::string port = std::to_string(where.port);
  std::optional<Answer> answer = ask(where.host, port, AI_NUMERICHOST);
  if (answer->fault == EAI_NONAME) answer = ask_within(where.host, port, timeout);
  if (!answer) fail("its name was not resolved within " + std::to_string(timeout.count()) + " ms: is DNS reachable?");
  if (answer->fault == EAI_SYSTEM) fail(std::strerror(answer->system_fault));
  if (answer->fault != 0 || answer->addresses.empty())
    fail(std::string("its name is not known here (") + ::gai_strerror(answer->fault) + "): " +
         (purpose == ResolveFor::listening ? "name an address of this host, or [::] for all" : "check it, and DNS"));
  return alternate_families(answer->addresses);
}

HostPort host_port_of(const SocketAddress& address) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(address.get(), address.bytes, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {"?", 0};
  constexpr std::string_view mapped = "::ffff:";
  std::string text = host.data();
  if (text.starts_with(mapped) && text.find('.') != std::string::npos) text.erase(0, mapped.size());
  return {text, static_cast<std::uint16_t>(std::stoul(port.data()))};
}

}  // namespace vmferry
