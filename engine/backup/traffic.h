// TrafficLedger: what each stream of a backup cost: so that a person can ask why tonight was large. A stream gets an
// account when its first chunk is met that is not known; all others are counted together. Bounded: past accounts_max streams
// share one account per disk. Thread-safe; one call per stream or frame, never per byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/backup/layout.h"

namespace vmferry::backup {

using AccountNumber = std::uint32_t;

// Bytes of content, but for `wire`. read = reused + delta + whole.
struct StreamTraffic {
  std::uint64_t read = 0;
  std::uint64_t reused = 0;  // known from the base point, zeros, or there already when it was offered
  std::uint64_t delta = 0;   // of chunks that were sent as deltas
  std::uint64_t whole = 0;   // of chunks that were sent compressed or plain
  std::uint64_t wire = 0;    // what delta and whole took on the wire, shared out by literal bytes
  std::uint64_t delta_wire = 0;  // of it: what the deltas took
};

class TrafficLedger {
 public:
  // What a frame carried of one stream. Of a frame of both kinds the deltas' share of `wire` is taken by content bytes.
  struct Sent {
    AccountNumber account = 0;
    std::uint64_t delta = 0, whole = 0, wire = 0;
  };
  struct Account {
    std::uint32_t disk = 0;
    StreamKind kind = StreamKind::file;
    bool shared = false;              // of the streams past accounts_max
    std::uint32_t volume = 0;
    MftReference record = 0;
    std::uint32_t attribute_type = 0;
    std::u16string name;              // of the attribute
    std::uint64_t files = 1;
    StreamTraffic traffic;
  };

  static constexpr std::size_t accounts_max = 1 << 18;

  AccountNumber open(std::uint32_t disk, const StreamInfo& stream);
  // At a stream's end: all that was read of it.
  void read(AccountNumber account, std::uint64_t bytes);
  // A stream without an account: all of it is reused.
  void unchanged(std::uint64_t bytes);
  void sent(std::span<const Sent> parts);
  void nodes_sent(std::uint64_t delta, std::uint64_t whole, std::uint64_t wire);

  // Once nothing is under way any more; reused is filled in.
  struct Totals {
    std::uint64_t unchanged_streams = 0, unchanged_bytes = 0;
    StreamTraffic streams;  // of all accounts
    StreamTraffic nodes;    // metadata trees
  };
  Totals totals() const;
  std::vector<Account> accounts() const;

 private:
  mutable std::mutex mutex_;
  std::vector<Account> accounts_;
  std::map<std::uint32_t, AccountNumber> shared_;  // by disk
  Totals totals_;
};

}  // namespace vmferry::backup
