#include "engine/backup/traffic.h"

namespace vmferry::backup {
namespace {

void add_sent(StreamTraffic& traffic, std::uint64_t delta, std::uint64_t whole, std::uint64_t wire) {
  traffic.delta += delta;
  traffic.whole += whole;
  traffic.wire += wire;
  if (delta == 0) return;
  // A share of a frame: far below 2^53, so a double loses nothing that matters, and nothing overflows.
  const double share = static_cast<double>(delta) / (static_cast<double>(delta) + static_cast<double>(whole));
  traffic.delta_wire += whole == 0 ? wire : static_cast<std::uint64_t>(static_cast<double>(wire) * share);
}

// What was sent twice (a delta that the target could not use goes again, whole) must not make it negative.
StreamTraffic with_reused(StreamTraffic traffic) {
  const std::uint64_t sent = traffic.delta + traffic.whole;
  traffic.reused = traffic.read > sent ? traffic.read - sent : 0;
  return traffic;
}

}  // namespace

AccountNumber TrafficLedger::open(std::uint32_t disk, const StreamInfo& stream) {
  const std::lock_guard lock(mutex_);
  const auto number = static_cast<AccountNumber>(accounts_.size());
  if (accounts_.size() - shared_.size() >= accounts_max) {
    const auto [shared, is_new] = shared_.try_emplace(disk, number);
    if (!is_new) {
      ++accounts_[shared->second].files;
      return shared->second;
    }
    Account account;
    account.disk = disk;
    account.shared = true;
    accounts_.push_back(std::move(account));
    return number;
  }
  Account account;
  account.disk = disk;
  account.kind = stream.kind;
  account.volume = stream.volume;
  account.record = stream.record;
  account.attribute_type = stream.attribute_type;
  account.name = stream.name;
  accounts_.push_back(std::move(account));
  return number;
}

void TrafficLedger::read(AccountNumber account, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  accounts_.at(account).traffic.read += bytes;
}

void TrafficLedger::unchanged(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  ++totals_.unchanged_streams;
  totals_.unchanged_bytes += bytes;
}

void TrafficLedger::sent(std::span<const Sent> parts) {
  const std::lock_guard lock(mutex_);
  for (const Sent& part : parts) add_sent(accounts_.at(part.account).traffic, part.delta, part.whole, part.wire);
}

void TrafficLedger::nodes_sent(std::uint64_t delta, std::uint64_t whole, std::uint64_t wire) {
  const std::lock_guard lock(mutex_);
  totals_.nodes.read += delta + whole;
  add_sent(totals_.nodes, delta, whole, wire);
}

TrafficLedger::Totals TrafficLedger::totals() const {
  const std::lock_guard lock(mutex_);
  Totals totals = totals_;
  for (const Account& account : accounts_) {
    const StreamTraffic traffic = with_reused(account.traffic);
    totals.streams.read += traffic.read;
    totals.streams.reused += traffic.reused;
    totals.streams.delta += traffic.delta;
    totals.streams.whole += traffic.whole;
    totals.streams.wire += traffic.wire;
    totals.streams.delta_wire += traffic.delta_wire;
  }
  return totals;
}

std::vector<TrafficLedger::Account> TrafficLedger::accounts() const {
  const std::lock_guard lock(mutex_);
  std::vector<Account> accounts = accounts_;
  for (Account& account : accounts) account.traffic = with_reused(account.traffic);
  return accounts;
}

}  // namespace vmferry::backup
