// Transports: what a byte costs on its way, in pieces as a session sends them, from one thread to another.
#include <benchmark/benchmark.h>

#include <thread>

#include "protocol/transport/tls.h"
#include "tests/support/content.h"
#include "tests/support/temporary_directory.h"

namespace {

using namespace vmferry;
using Ends = std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>>;

Ends memory_ends() { return memory_transport(); }

Ends unix_ends() {
  const test::TemporaryDirectory directory;
  const auto listener = listen_unix(directory / "socket");
  auto one = connect_unix(directory / "socket");
  return {std::move(one), listener->accept()};
}

Ends tls_ends() {
  const TlsIdentity server = make_tls_identity("target", std::chrono::days(1));
  const TlsIdentity client = make_tls_identity("controller", std::chrono::days(1));
  const auto listener = listen_tls({"127.0.0.1", 0}, server);
  auto one = connect_tls(listener->address(), {.identity = client, .server = fingerprint_of(server), .dscp = {}});
  return {std::move(one), std::move(listener->accept().value().transport)};
}

// A header, a payload and a checksum, as a packet has them.
void stream(benchmark::State& state, Ends (*make)()) {
  constexpr std::size_t total = std::size_t{256} << 20;
  const Bytes content = test::random_bytes(1, static_cast<std::size_t>(state.range(0)));
  const Bytes head(8), tail(8);
  auto [sender, receiver] = make();
  Bytes into(256 << 10);
  for (auto _ : state) {
    std::thread sending([&] {
      const std::array<ByteView, 3> parts = {head, content, tail};
      for (std::size_t sent = 0; sent < total; sent += content.size()) sender->send(parts);
    });
    const std::size_t packets = (total + content.size() - 1) / content.size();
    for (std::size_t left = packets * (content.size() + 16); left > 0;)
      left -= receiver->receive(std::span(into).first(std::min(left, into.size())));
    sending.join();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(total));
}
BENCHMARK_CAPTURE(stream, memory, memory_ends)->Arg(64 << 10)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK_CAPTURE(stream, unix, unix_ends)->Arg(64 << 10)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK_CAPTURE(stream, tls, tls_ends)->Arg(4 << 10)->Arg(64 << 10)->Arg(1 << 20)->MeasureProcessCPUTime()->UseRealTime();

void connect(benchmark::State& state) {
  const TlsIdentity server = make_tls_identity("target", std::chrono::days(1));
  const TlsIdentity client = make_tls_identity("controller", std::chrono::days(1));
  const auto listener = listen_tls({"127.0.0.1", 0}, server);
  const TlsConnectOptions options = {.identity = client, .server = fingerprint_of(server), .dscp = {}};
  for (auto _ : state) {
    const auto one = connect_tls(listener->address(), options);
    const auto other = listener->accept();
  }
}
BENCHMARK(connect)->Name("tls_connect")->MeasureProcessCPUTime()->UseRealTime();

}  // namespace
