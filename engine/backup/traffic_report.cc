#include "engine/backup/traffic_report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/backup/file_paths.h"

namespace vmferry::backup {
namespace {

using Account = TrafficLedger::Account;

constexpr std::uint32_t data_attribute = 0x80;

catalog::TrafficBytes bytes_of(const StreamTraffic& traffic) {
  return {traffic.read, traffic.reused, traffic.delta, traffic.whole, traffic.wire, traffic.delta_wire};
}

std::string attribute_name(std::uint32_t type) {
  switch (type) {
    case 0x20: return "attribute list";
    case 0x50: return "security";
    case 0xa0: return "index";
    case 0xb0: return "bitmap";
    case 0xc0: return "reparse point";
    case 0xe0: return "extended attributes";
    case 0x100: return "logged stream";
    default: {
      std::array<char, 32> text;
      std::snprintf(text.data(), text.size(), "attribute 0x%x", type);
      return text.data();
    }
  }
}

// What follows the file's path. "$I30" is what every directory's index is called.
std::string stream_suffix(const Account& account) {
  const std::string name = account.name == u"$I30" ? std::string() : to_utf8(account.name);
  if (account.attribute_type == data_attribute) return name.empty() ? "" : ":" + name;
  return " [" + attribute_name(account.attribute_type) + (name.empty() ? "" : " " + name) + "]";
}

bool is_of_a_file(const Account& account) { return !account.shared && account.kind == StreamKind::file; }

std::uint32_t partition_number(const DiskLayout& layout, std::uint32_t volume) {
  return volume < layout.volumes().size() ? static_cast<std::uint32_t>(layout.volumes()[volume].partition.number) : 0;
}

// An account of no file: what it is called, in which volume it lies. No layout: it is of no disk.
void name_rest(const Account& account, const DiskLayout* layout, catalog::TrafficRow& row) {
  row.kind = catalog::TrafficKind::rest;
  if (layout == nullptr) {
    row.path = "[the machine's files]";
    return;
  }
  if (account.shared) {
    row.path = "[other files]";
  } else if (account.kind == StreamKind::outside) {
    row.path = "[partition tables and gaps]";
  } else {
    row.volume = partition_number(*layout, account.volume);
    row.path = account.kind == StreamKind::opaque ? "[volume " + std::to_string(row.volume) + ", not cracked]"
                                                  : "[free and unowned clusters]";
  }
}

// All but the largest, as one row: they need no names.
std::optional<catalog::TrafficRow> take_smaller_ones(std::vector<Account>& accounts, std::size_t rows_max) {
  if (accounts.size() <= rows_max) return std::nullopt;
  const auto end_of_kept = accounts.begin() + static_cast<std::ptrdiff_t>(rows_max - 1);
  std::nth_element(accounts.begin(), end_of_kept, accounts.end(), [](const Account& a, const Account& b) {
    return std::tie(a.traffic.wire, a.traffic.read) > std::tie(b.traffic.wire, b.traffic.read);
  });
  catalog::TrafficRow rest;
  rest.kind = catalog::TrafficKind::rest;
  rest.path = "[smaller ones]";
  rest.files = 0;
  for (auto account = end_of_kept; account != accounts.end(); ++account) {
    rest.bytes += bytes_of(account->traffic);
    rest.files += account->files;
  }
  accounts.erase(end_of_kept, accounts.end());
  return rest;
}

}  // namespace

catalog::PointTraffic name_traffic(const TrafficLedger& ledger, std::span<const std::unique_ptr<DiskLayout>> layouts,
                                   std::span<const std::string> disk_keys, const NamingLimits& limits) {
  const TrafficLedger::Totals totals = ledger.totals();
  catalog::PointTraffic result;
  result.point.streams = bytes_of(totals.streams);
  result.point.trees = bytes_of(totals.nodes);
  result.point.unchanged_streams = totals.unchanged_streams;
  result.point.unchanged_bytes = totals.unchanged_bytes;

  std::vector<Account> accounts = ledger.accounts();
  const std::optional<catalog::TrafficRow> smaller_ones = take_smaller_ones(accounts, limits.rows_max);

  // One volume after the other: only one's directories are in memory.
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<const Account*>> by_volume;
  for (const Account& account : accounts) {
    const bool of_a_disk = account.disk < layouts.size();
    if (of_a_disk && is_of_a_file(account)) {
      by_volume[{account.disk, account.volume}].push_back(&account);
      continue;
    }
    catalog::TrafficRow& row = result.rows.emplace_back();
    if (of_a_disk) row.disk = disk_keys[account.disk];
    row.files = account.files;
    row.bytes = bytes_of(account.traffic);
    name_rest(account, of_a_disk ? layouts[account.disk].get() : nullptr, row);
  }
  for (const auto& [where, files] : by_volume) {
    const auto [disk, volume] = where;
    FilePaths paths(limits.directories_bytes_max);
    for (const Account* account : files) paths.want(account->record);
    paths.look(*layouts[disk], volume);
    for (const Account* account : files) {
      const std::string suffix = stream_suffix(*account);
      catalog::TrafficRow& row = result.rows.emplace_back();
      row.disk = disk_keys[disk];
      row.volume = partition_number(*layouts[disk], volume);
      row.kind = suffix.empty() ? catalog::TrafficKind::file : catalog::TrafficKind::stream;
      row.path = paths.path(account->record) + suffix;
      row.bytes = bytes_of(account->traffic);
    }
  }
  if (smaller_ones) result.rows.push_back(*smaller_ones);
  return result;
}

}  // namespace vmferry::backup
