// link: protocol
// A hostile peer's records, into the windows and into a whole end of a link. The input is a list of records (type u8,
// number u32, length u16, payload), whose headers are made right here so that the fuzzer gets past them; an input that
// begins with 0xff is the raw stream instead, and one that begins with 0xfe goes through a link with its threads.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <thread>

#include "protocol/error.h"
#include "protocol/link/link.h"
#include "protocol/link/receive_window.h"
#include "protocol/link/record_reader.h"
#include "protocol/link/send_window.h"

namespace {

using namespace vmferry;
using namespace vmferry::link;

constexpr std::uint64_t window_bytes = 128 * 1024;
constexpr std::size_t written_bytes = 3000;

void check(bool holds) {
  if (!holds) std::abort();
}

Bytes records_of(ByteView input) {
  Bytes out;
  while (input.size() >= 7) {
    ByteReader reader(input);
    const auto type = static_cast<RecordType>(reader.u8() % 9 + 1);
    const std::uint64_t number = reader.u32() % (2 * window_bytes);
    const std::size_t length =
        std::min<std::size_t>({reader.u16(), reader.rest().size(), payload_bytes_max(type)});
    put_data_header(out, number, length);
    out[out.size() - header_bytes] = static_cast<std::byte>(type);
    const ByteView payload = reader.bytes(length);
    out.insert(out.end(), payload.begin(), payload.end());
    input = reader.rest();
  }
  return out;
}

// A source of these bytes, in pieces of odd sizes.
RecordReader::Source source_of(ByteView& rest) {
  return [&rest, turn = 0u](std::span<std::byte> into) mutable {
    constexpr std::array<std::size_t, 4> sizes = {100'000, 16, 1, 5000};
    const std::size_t count = std::min({into.size(), rest.size(), sizes[turn++ % sizes.size()]});
    std::ranges::copy(rest.first(count), into.begin());
    rest = rest.subspan(count);
    return count;
  };
}

void into_windows(ByteView stream) {
  PagePool pool;
  ReceiveWindow receiving(pool, window_bytes);
  SendWindow sending(pool, window_bytes);
  const auto room = sending.grow(written_bytes);
  std::ranges::fill(room, std::byte{1});
  sending.written(room.size());
  sending.acknowledge(0, written_bytes, {});
  while (sending.has_segment()) sending.claim(1, 1000, {});
  RecordReader reader(source_of(stream));
  std::uint64_t taken = 0;
  for (unsigned turn = 0; const auto header = reader.next(); ++turn) {
    if (header->type == RecordType::data) {
      PagePtr page = pool.take();
      const std::span<std::byte> bytes = std::span(page->bytes).first(header->length);
      reader.payload_into(bytes);
      receiving.accept(header->number, bytes, &page);
    } else {
      const ByteView payload = reader.payload(header->length);
      switch (header->type) {
        case RecordType::ack: sending.acknowledge(header->number, parse_ack_limit(payload), {}); break;
        case RecordType::finish: receiving.accept_finish(header->number); break;
        case RecordType::welcome: parse_welcome(*header, payload); break;
        case RecordType::refuse: parse_refuse(payload); break;
        case RecordType::abort: parse_abort(payload); break;
        case RecordType::note: parse_note(payload); break;
        default: break;
      }
    }
    check(receiving.received() <= receiving.limit() + 1);
    check(sending.acknowledged() <= written_bytes);
    if (turn % 3 != 0) continue;
    std::size_t count = 0;
    for (const ByteView view : receiving.at_hand(70'000)) count += view.size();
    receiving.took(count);
    taken += count;
    check(receiving.taken() == taken && taken <= receiving.received());
    if (turn % 2 == 0) sending.give_back(1);
  }
}

// Receives what is given, then nothing until it is aborted; swallows what is sent.
class OneWay final : public Transport {
 public:
  explicit OneWay(Bytes bytes) : bytes_(std::move(bytes)), rest_(bytes_) {}
  void send(std::span<const ByteView>) override {}
  std::size_t receive(std::span<std::byte> into) override {
    const std::size_t count = std::min(into.size(), rest_.size());
    std::ranges::copy(rest_.first(count), into.begin());
    rest_ = rest_.subspan(count);
    return count;
  }
  void finish_sending() override {}
  void abort() noexcept override {}
  TransportCounts counts() const noexcept override { return {}; }

 private:
  const Bytes bytes_;
  ByteView rest_;
};

void into_a_link(ByteView stream) {
  Bytes bytes;
  put_welcome(bytes, {.standing = {0, window_bytes, window_bytes, std::chrono::milliseconds(1000)}});
  bytes.insert(bytes.end(), stream.begin(), stream.end());
  LinkOptions options;
  options.limits.window_bytes = window_bytes;
  options.patience = std::chrono::milliseconds(0);
  const auto end = open_link([&] { return std::make_unique<OneWay>(bytes); }, options);
  const std::array<ByteView, 1> parts = {as_bytes("something to acknowledge")};
  end->send(parts);
  Bytes into(1000);
  while (end->receive(into) > 0) {
  }
  end->abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(reinterpret_cast<const std::byte*>(data), size);
  const bool raw = size > 0 && data[0] == 0xff;
  const bool threads = size > 0 && data[0] == 0xfe;
  const Bytes stream = raw ? Bytes(input.begin() + 1, input.end()) : records_of(input.subspan(threads ? 1 : 0));
  try {
    if (threads) {
      into_a_link(stream);
    } else {
      into_windows(stream);
    }
  } catch (const Error&) {
  } catch (const LineBroken&) {
  }
  if (raw && stream.size() >= header_bytes) {
    try {
      const HelloHeader header = parse_hello_header(ByteView(stream).first(header_bytes));
      const Hello hello = parse_hello(header, ByteView(stream).subspan(header_bytes));
      check(hello.lines_alive.size() <= lines_named_max);
    } catch (const Error&) {
    }
  }
  return 0;
}
