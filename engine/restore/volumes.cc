#include "engine/restore/output_names.h"
#include "engine/restore/restore.h"
#include "protocol/error.h"

namespace vmferry::restore {
namespace {

std::string description(const VolumeRow& row) {
  std::string text = row.name;
  if (!row.volume->label.empty()) text += " (" + printable(row.volume->label) + ")";
  if (!row.volume->cracked) text += " (not cracked)";
  return text;
}

std::string listed(const std::vector<VolumeRow>& rows) {
  std::string text;
  for (const VolumeRow& row : rows) text += (text.empty() ? "" : ", ") + description(row);
  return text.empty() ? "it has no volumes" : "it has " + text;
}

std::u16string folded_label(const std::string& label) { return upcase_simple(to_utf16(label).value_or(u"")); }

}  // namespace

PathInPoint parse_path(std::string_view text) {
  const std::size_t slash = text.find_first_of("/\\");
  if (slash == std::string_view::npos) return {std::string(text), {}};
  return {std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

std::vector<VolumeRow> volumes_of(const RestorePoint& point) {
  std::vector<VolumeRow> rows;
  for (std::size_t i = 0; i < point.disks.size(); ++i)
    for (const PointVolume& volume : point.disks[i].volumes)
      rows.push_back({std::to_string(i) + "." + std::to_string(volume.partition), &point.disks[i], &volume});
  return rows;
}

VolumeRow pick_volume(const RestorePoint& point, const std::string& volume) {
  const std::vector<VolumeRow> rows = volumes_of(point);
  std::vector<VolumeRow> fitting;
  for (const VolumeRow& row : rows) {
    if (!volume.empty() && row.name == volume) return row;
    const bool fits = volume.empty() ? row.volume->cracked : folded_label(row.volume->label) == folded_label(volume);
    if (fits) fitting.push_back(row);
  }
  if (fitting.size() == 1) return fitting.front();
  if (volume.empty() && fitting.empty())
    throw Error(ErrorCode::not_found, "the restore point has no volume whose files are known", {}, listed(rows));
  if (fitting.empty())
    throw Error(ErrorCode::not_found, "the restore point has no such volume", printable(volume),
                listed(rows) + "; a path without a volume begins with '/'");
  throw Error(ErrorCode::not_found, "more than one volume could be meant", printable(volume),
              "name one by its number: " + listed(fitting));
}

}  // namespace vmferry::restore
