// link: protocol target_server
// Bytes of a hostile client into a whole server session over a small real store. The input is a list of packets
// (type u8, length u16, payload): lengths, checksums and the hello are made right here, so that the fuzzer gets past
// them; one input in a while is taken as the raw stream instead.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>

#include "protocol/checksum.h"
#include "protocol/control.h"
#include "protocol/error.h"
#include "protocol/messages.pb.h"
#include "protocol/wire.h"
#include "target-server/receive/serve_session.h"

namespace {

using namespace vmferry;

// Receives what is given, swallows what is sent.
class OneWay final : public Transport {
 public:
  explicit OneWay(Bytes bytes) : bytes_(std::move(bytes)) {}
  void send(std::span<const ByteView>) override {}
  std::size_t receive(std::span<std::byte> into) override {
    const std::size_t count = std::min(into.size(), bytes_.size() - at_);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), count, into.begin());
    at_ += count;
    return count;
  }
  void finish_sending() override {}
  void abort() noexcept override {}
  TransportCounts counts() const noexcept override { return {}; }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
};

class Collector final : public Transport {
 public:
  void send(std::span<const ByteView> parts) override {
    for (const ByteView part : parts) bytes.insert(bytes.end(), part.begin(), part.end());
  }
  std::size_t receive(std::span<std::byte>) override { return 0; }
  void finish_sending() override {}
  void abort() noexcept override {}
  TransportCounts counts() const noexcept override { return {}; }
  Bytes bytes;
};

struct TinyStore {
  TinyStore() {
    std::string name = (std::filesystem::temp_directory_path() / "vmferry-fuzz.XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    directory = name;
    store::Store::init(directory / "store");
    opened = store::Store::open(directory / "store");
  }
  ~TinyStore() {
    opened.reset();
    std::filesystem::remove_all(directory);
  }
  std::filesystem::path directory;
  std::unique_ptr<store::Store> opened;
};

Bytes stream_of(ByteView input) {
  Collector collector;
  wire::PacketWriter writer(collector);
  messages::Control control;
  control.mutable_hello()->set_magic(wire::hello_magic);
  control.mutable_hello()->set_major(wire::version_major);
  control.mutable_hello()->set_client_uuid(std::string(16, 'c'));
  wire::send_control(writer, control);
  control.Clear();
  control.set_request(1);
  control.mutable_open_backup()->set_machine_uuid(std::string(16, 'm'));
  control.mutable_open_backup()->set_machine_name("web1");
  wire::send_control(writer, control);

  while (input.size() >= 3) {
    const auto type = static_cast<wire::PacketType>(std::to_integer<std::uint8_t>(input[0]) % 9);
    std::size_t length = std::to_integer<std::size_t>(input[1]) | std::to_integer<std::size_t>(input[2]) << 8;
    input = input.subspan(3);
    length = std::min({length, input.size(), wire::payload_bytes_max(type)});
    writer.send(type, {input.first(length)});
    input = input.subspan(length);
  }
  return std::move(collector.bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static TinyStore tiny;
  const ByteView input(reinterpret_cast<const std::byte*>(data), size);
  const bool raw = size > 0 && data[0] == 0xff;
  OneWay transport(raw ? Bytes(input.begin() + 1, input.end()) : stream_of(input));
  try {
    target_server::serve_session(transport, *tiny.opened);
  } catch (const Error&) {
  }
  return 0;
}
