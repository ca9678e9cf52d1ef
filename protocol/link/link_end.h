// LinkEnd: one end of a link, the same for client and target: both windows, the lines that are there now, and how it
// ended. Its user calls it as a Transport; each line has a thread that reads and one that writes; a keeper (the client's,
// or the server's for all of its links) hands it new lines, calls check() and reap(), and is woken by the bell.
// One mutex guards everything but the bytes being copied, sent or received.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "protocol/error.h"
#include "protocol/link/bell.h"
#include "protocol/link/link.h"
#include "protocol/link/rate_limit.h"
#include "protocol/link/receive_window.h"
#include "protocol/link/record_reader.h"
#include "protocol/link/send_window.h"

namespace vmferry::link {

// How long a line that we closed may take to be closed by the peer.
inline constexpr std::chrono::milliseconds close_within{1000};

// A line on which hello and welcome have gone, or are about to.
struct NewLine {
  std::uint32_t number = 0;
  std::unique_ptr<Transport> transport;
  RecordReader records;
  std::optional<std::uint32_t> welcome;  // the target's end says it first, with this lines_max
};

class LinkEnd : public std::enable_shared_from_this<LinkEnd> {
 public:
  using Clock = std::chrono::steady_clock;

  struct Options {
    LinkLimits limits;
    std::shared_ptr<RateLimit> sending = nullptr, receiving = nullptr;
    std::uint64_t bell_after_bytes = 0;  // rings once so many bytes of the stream have passed; 0: never
    std::uint64_t early_bytes = 0;       // that may go with the hello that makes the link
  };
  LinkEnd(const Options& options, std::shared_ptr<Bell> bell);
  ~LinkEnd();

  // --- its user, as Transport has it
  void send(std::span<const ByteView> parts);
  std::size_t receive(std::span<std::byte> into);
  void finish_sending();
  void abort() noexcept;
  void leave() noexcept;
  TransportCounts counts() const noexcept;
  // A sentence to the other side's person; the latest one counts.
  void note(const std::string& sentence) noexcept;
  // The user is done. Waits, within bounds, until the peer has what was sent; ends whatever is not finished; then
  // end_lines().
  void close() noexcept;
  // The link is over or has failed: waits until then for its lines to close, ends those that did not, joins them all.
  void end_lines(Clock::time_point then) noexcept;

  // --- keepers
  Standing standing() const;  // for hello and welcome
  std::vector<std::uint32_t> lines_alive() const;
  // What there is to send to a peer that has not said anything yet, as data records after the hello of this line; where the
  // line does not come to be, forget_early() gives it to the next one.
  void put_early(Bytes& out, std::uint32_t line_number);
  void forget_early(std::uint32_t line_number) noexcept;
  enum class Joined { yes, ended, stale, too_many };
  // Takes a line in, and starts its threads; on any other answer the line is still the caller's. alive: lines that the
  // client knows of; all others are dropped. Throws Error{malformed} where the peer's standing cannot be.
  Joined join(NewLine& line, const Standing& peer, const std::vector<std::uint32_t>* alive, std::size_t lines_max);
  // Ends the link: both directions fail with this error, and the peer is told where `tell`.
  void fail(const Error& why, bool tell) noexcept;

  struct Status {
    std::size_t lines = 0;           // that live
    bool ended = false;              // failed, or both directions are finished and acknowledged
    bool finished = false;           // both directions are finished; what is missing is acknowledgements
    std::uint64_t flowed_bytes = 0;  // of the stream, both ways, since it began
    Clock::time_point lines_lost{};  // since when there is none
    std::string why_broken;          // the last line
  };
  Status status() const;
  std::vector<std::string> take_notes();  // from the peer
  bool is_held_back() noexcept;  // by its lines, whereas more of them would carry more
  // Drops lines on which nothing was heard, or that do not close; returns when to call again.
  Clock::time_point check(Clock::time_point now);
  void reap() noexcept;  // joins the threads of lines that have ended

 private:
  struct Line;
  struct Batch;

  template <typename Condition>
  void wait_for_closing(std::unique_lock<std::mutex>& lock, Clock::time_point then, Condition condition);

  // link_end.cc; with the mutex held, as all that follow but the threads' own functions
  void fail_locked(const Error& why, bool tell) noexcept;
  void break_line(Line& line, const std::string& why, bool closed_by_peer = false) noexcept;
  bool over() const noexcept;
  bool everything_is_done() const noexcept { return failure_ || over(); }
  void throw_failure() const;
  void give_credit();
  std::size_t alive() const noexcept;

  // line_writer.cc
  void write_records(Line& line) noexcept;
  bool next_batch(std::unique_lock<std::mutex>& lock, Line& line, Batch& batch);
  Clock::time_point collect(Line& line, Batch& batch, Clock::time_point now);
  void collect_control(Line& line, Batch& batch, Clock::time_point now);
  Clock::time_point collect_data(Line& line, Batch& batch, Clock::time_point now);
  bool has_more_to_send() const noexcept;

  // line_reader.cc
  void read_records(Line& line) noexcept;
  void take_record(Line& line, const RecordHeader& header);
  void take_data(Line& line, const RecordHeader& header);
  void take_ack(Line& line, std::uint64_t received, std::uint64_t limit);
  void after_receiving();
  void after_flow();
  std::size_t receive_some(Line& line, std::span<std::byte> into);
  void wait_for_rate(Line& line);
  void drain(Line& line) noexcept;
  void thread_ends(Line& line) noexcept;

  const Options options_;
  const std::uint64_t window_bytes_;
  const std::shared_ptr<Bell> bell_;

  mutable std::mutex mutex_;
  std::condition_variable writers_;   // there is something to send; waked one by one, each passes it on
  std::condition_variable pausing_;   // readers that wait for the rate
  std::condition_variable readable_, writable_, closing_;

  PagePool pool_;
  SendWindow sending_;
  ReceiveWindow receiving_;
  std::uint64_t peers_window_ = 0;                  // 0: no line yet
  std::chrono::milliseconds ping_every_;
  std::vector<std::shared_ptr<Line>> lines_;        // also those that have ended and are not reaped
  std::uint32_t line_number_last_ = 0;
  Clock::time_point lines_lost_ = Clock::now();
  std::string why_broken_;

  bool ack_due_ = false;                            // now
  Clock::time_point ack_at_ = Clock::time_point::max();
  std::uint64_t ack_received_ = 0, ack_limit_ = receiving_.limit();  // what the last ack said, or the first hello

  std::optional<Error> failure_;
  bool aborted_here_ = false, tell_failure_ = false;
  bool leaving_ = false;                            // the user has all that it wanted
  std::optional<std::string> note_out_;
  std::deque<std::string> notes_in_;
  std::uint64_t flowed_at_last_check_ = 0;
  bool bell_rung_for_bytes_ = false;
  std::uint64_t written_bytes_ = 0;                 // by the user
  std::atomic<std::uint64_t> sent_bytes_ = 0, received_bytes_ = 0;
};

// Shared by link_end.cc, line_writer.cc and line_reader.cc.
struct LinkEnd::Line {
  explicit Line(NewLine line)
      : number(line.number), transport(std::move(line.transport)), records(std::move(line.records)), welcome(line.welcome) {}

  const std::uint32_t number;
  const std::unique_ptr<Transport> transport;
  RecordReader records;             // the reading thread's
  std::thread reading, writing;

  // Under the mutex.
  enum class State { alive, closing, broken } state = State::alive;
  unsigned running = 0;             // of its threads
  std::optional<std::uint32_t> welcome;
  bool told = false;                // of the failure
  std::uint64_t peer_received = 0, peer_limit = 0;  // by its last ack
  Clock::time_point sent_last{}, close_by{};

  std::atomic<Clock::rep> heard_last{0};  // since the clock's epoch
  std::atomic<bool> paused = false;       // waits for the rate, and so hears nothing
};

}  // namespace vmferry::link
