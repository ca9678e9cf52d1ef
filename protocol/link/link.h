// A link: one ordered, reliable, full-duplex pipe of bytes that outlives its lines. A **line** is one transport (a TLS
// connection, an SSH channel); a link has one or several at a time, stripes over them, and when they break the client
// dials again and the stream goes on where it stopped: what was received counts, at most what was in flight is sent
// again. Both ends are Transports, so a session neither knows nor cares. docs/format/link.md has the records.
//
// Flow control: each side may have sent at most window_bytes beyond what the other side's reader has taken, and keeps
// what is not acknowledged, at most its own window_bytes. So memory is bounded by twice the window, whatever the peer
// does, and control records are never held back by data that nobody reads. Keepalive: a line on which nothing was heard
// for dead_after is dropped; a quiet one carries a ping each ping_every (and often enough for the peer's dead_after).
//
// As Transports, both ends: counts() are the bytes that went over the lines, with the records' headers and what was sent
// twice. A stream that has arrived whole, to its finish, can be read to its end whatever became of the link. The
// destructor waits until the peer has what was sent and finished, at most 2 seconds, and at most one more until the lines
// are closed; the client's waits for a dial that is under way, too.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "protocol/transport/transport.h"
#include "protocol/uuid.h"

namespace vmferry::link {

class RateLimit;

struct LinkLimits {
  std::size_t window_bytes = 8u << 20;             // each direction; what the peer may send us and nobody has read
  std::chrono::milliseconds ping_every{5'000};
  std::chrono::milliseconds dead_after{20'000};
  std::chrono::milliseconds hello_timeout{10'000};
};

// --- client

// Makes one line. Throws Error{unreachable} where another try may go better; anything else ends the link for good, unless
// it has another line. Called from the link's own threads, one call at a time. Must return within a bounded time.
using Dial = std::function<std::unique_ptr<Transport>()>;

struct LinkOptions {
  LinkLimits limits = {};
  // The further ones are made once line_more_after_bytes have passed, and as long as those that are there are held back
  // (Transport::is_held_back): on a line that is full they would only disturb each other.
  unsigned lines_max = 4;
  std::uint64_t line_more_after_bytes = 4u << 20;
  std::chrono::milliseconds patience{30 * 60'000}; // how long to dial again after the last line broke, before giving up
  std::chrono::milliseconds first_patience{0};     // the same before there ever was a line
  std::chrono::milliseconds retry_min{500}, retry_max{30'000};  // back-off between tries, doubled, with jitter
  // open_link() returns before there is a line: what is sent meanwhile goes with the hello, which saves a round trip, and what
  // it would have thrown, the first receive() throws.
  bool begin_early = false;
  // Sentences for a person: "the line broke (…); trying again", "the line is back", "7 sessions are before this one".
  // From the link's threads.
  std::function<void(const std::string&)> note = nullptr;
  std::shared_ptr<RateLimit> sending = nullptr, receiving = nullptr;   // bytes a second over all lines; null: no limit
};

// Dials, does the hello, and returns the client's end. Throws what `dial` threw; Error{...} with the target's code and
// sentence where it refused. Destroying it before both directions are finished ends the link at the target too.
// When patience is over, or the target does not know the link any more (it was restarted), both directions fail with
// Error{unreachable}; when the target ends it (LinkServer::end), with the target's code and sentence.
std::unique_ptr<Transport> open_link(Dial dial, const LinkOptions& options);

// --- target

// Who is at the other end of a line, as the server proved it. Lines of one link must come from the same one.
using PeerName = std::string;

// A link's end at the target, as a session takes it.
class TargetLink : public Transport {
 public:
  virtual const PeerName& peer() const noexcept = 0;
  // A sentence for whoever waits at the client ("14 sessions are before this one").
  virtual void note(const std::string& sentence) noexcept = 0;
};

struct LinkServerOptions {
  LinkLimits limits = {};
  std::chrono::milliseconds park{10 * 60'000};     // a link without lines is kept for so long, then it breaks
  std::size_t links_max = 512;                     // more are refused with `busy`
  unsigned lines_max = 8;                          // of one link
};

// LinkServer: the links of one server. Thread-safe. Outlives its links.
class LinkServer {
 public:
  // on_link: for each new link, on a thread of the server's. It owns the link, and must not block.
  static std::unique_ptr<LinkServer> create(const LinkServerOptions& options,
                                            std::function<void(std::unique_ptr<TargetLink>)> on_link);
  virtual ~LinkServer() = default;                 // aborts all of its links, and waits for its own threads
  // Takes a line that has just been accepted, whose first bytes are a link's hello. Returns at once: the hello is read
  // on a thread of the server's, within hello_timeout. received_already: bytes of the line that the caller has read, at
  // most 4 KiB.
  virtual void take(std::unique_ptr<Transport> line, PeerName peer, ByteView received_already = {}) = 0;
  // Says why and ends every link of this peer (revoked), or of all (shutdown). A line whose hello is being read may still
  // make a new one: whoever revokes does so first, and on_link looks again.
  virtual void end(const PeerName& peer, const std::string& code, const std::string& sentence) noexcept = 0;
  virtual void end_all(const std::string& code, const std::string& sentence) noexcept = 0;
};

// The first four bytes of a link's hello, by which a server tells it from a session's (a length below 64 KiB there).
inline constexpr std::uint32_t hello_magic = 0x4b4c4656;  // "VFLK"

}  // namespace vmferry::link
