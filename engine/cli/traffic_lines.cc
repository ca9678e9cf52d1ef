// The lists: files as they are, directories summed up the tree.
#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "engine/cli/traffic_view.h"

namespace vmferry::cli {
namespace {

using catalog::TrafficKind;
using catalog::TrafficRow;

// Says which volume a row is of, as far as a person needs it to tell rows apart.
class VolumeWords {
 public:
  explicit VolumeWords(const std::vector<TrafficRow>& rows) {
    std::set<std::string> disks;
    std::set<std::pair<std::string, std::uint32_t>> volumes;
    for (const TrafficRow& row : rows) {
      if (!row.disk.empty()) disks.insert(row.disk);
      if (row.volume != 0) volumes.emplace(row.disk, row.volume);
    }
    several_disks_ = disks.size() > 1;
    several_volumes_ = volumes.size() > 1;
  }

  std::string before(const TrafficRow& row) const {
    std::string words = several_disks_ ? row.disk : "";
    if (several_volumes_ && row.volume != 0)
      words += (words.empty() ? "volume " : " volume ") + std::to_string(row.volume);
    return words.empty() ? words : words + ":";
  }

 private:
  bool several_disks_ = false, several_volumes_ = false;
};

bool sent_more(const TrafficLine& a, const TrafficLine& b) {
  return std::tie(b.bytes.sent, b.bytes.read, a.path) < std::tie(a.bytes.sent, a.bytes.read, b.path);
}

void add(TrafficLine& line, const TrafficLine& other) {
  line.streams += other.streams;
  line.bytes += other.bytes;
}

void keep_lines(TrafficLines& list, std::size_t limit) {
  std::sort(list.lines.begin(), list.lines.end(), sent_more);
  while (list.lines.size() > limit) {
    add(list.others, list.lines.back());
    list.lines.pop_back();
  }
}

// The directory that a row belongs to, without a '/' at its end: "" is the root. A directory's own index belongs to
// itself.
std::string_view directory_of(const TrafficRow& row) {
  std::string_view path = row.path;
  if (row.kind == TrafficKind::stream)
    for (const std::string_view own : {" [index]", " [bitmap]"})
      if (path.ends_with(own)) {
        path.remove_suffix(own.size());
        return path == "/" ? path.substr(1) : path;
      }
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

// '/' sorts before all: then what is below a directory follows it at once.
bool sorts_before(std::string_view a, std::string_view b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto rank = [](char c) { return c == '/' ? 0 : 1 + static_cast<unsigned char>(c); };
    return rank(x) < rank(y);
  });
}

// Sums one volume's directories, which come in the order of sorts_before. Holds one path and its directories' sums.
class TreeSums {
 public:
  TreeSums(std::string words, std::uint64_t threshold, TrafficLines& list)
      : words_(std::move(words)), threshold_(threshold), list_(list) {
    stack_.push_back({0, {}, false});
  }

  void add_row(std::string_view directory, const TrafficRow& row) {
    while (stack_.back().length > 0 && !is_below(directory, std::string_view(path_).substr(0, stack_.back().length)))
      pop();
    for (std::size_t at = stack_.back().length; at < directory.size();) {
      at = std::min(directory.size(), directory.find('/', at + 1));
      stack_.push_back({at, {}, false});
    }
    path_ = directory;
    add(stack_.back().sum, {{}, false, row.files, row.bytes});
  }
  void finish() {
    while (!stack_.empty()) pop();
  }

 private:
  struct Level {
    std::size_t length;  // of path_
    TrafficLine sum;     // what has no line below it
    bool has_lines_below;
  };

  static bool is_below(std::string_view directory, std::string_view above) {
    return directory.starts_with(above) && (directory.size() == above.size() || directory[above.size()] == '/');
  }

  void pop() {
    Level level = std::move(stack_.back());
    stack_.pop_back();
    const bool has_line = level.sum.bytes.sent >= threshold_;
    if (has_line) {
      level.sum.path = words_ + (level.length == 0 ? "/" : path_.substr(0, level.length));
      level.sum.is_rest = level.has_lines_below;
      list_.lines.push_back(std::move(level.sum));
    } else {
      add(stack_.empty() ? list_.others : stack_.back().sum, level.sum);
    }
    if (!stack_.empty())
      stack_.back().has_lines_below = stack_.back().has_lines_below || has_line || level.has_lines_below;
  }

  const std::string words_;
  const std::uint64_t threshold_;
  TrafficLines& list_;
  std::string path_;
  std::vector<Level> stack_;
};

}  // namespace

TrafficLines largest_files(const catalog::PointTraffic& traffic, std::size_t limit) {
  const VolumeWords words(traffic.rows);
  TrafficLines list;
  for (const TrafficRow& row : traffic.rows)
    list.lines.push_back({words.before(row) + row.path, false, row.files, row.bytes});
  keep_lines(list, limit);
  return list;
}

TrafficLines largest_directories(const catalog::PointTraffic& traffic, std::size_t limit, unsigned percent) {
  const VolumeWords words(traffic.rows);
  std::uint64_t all_sent = 0;
  for (const TrafficRow& row : traffic.rows) all_sent += row.bytes.sent;
  const std::uint64_t threshold = std::max<std::uint64_t>(1, all_sent / 100 * percent + all_sent % 100 * percent / 100);

  TrafficLines list;
  struct InDirectory {
    std::string_view directory;
    const TrafficRow* row;
  };
  std::vector<InDirectory> files;
  for (const TrafficRow& row : traffic.rows) {
    if (row.kind != TrafficKind::rest) {
      files.push_back({directory_of(row), &row});
      continue;
    }
    TrafficLine line{words.before(row) + row.path, false, row.files, row.bytes};
    if (row.bytes.sent >= threshold)
      list.lines.push_back(std::move(line));
    else
      add(list.others, line);
  }
  const auto volume_of = [](const InDirectory& file) { return std::tie(file.row->disk, file.row->volume); };
  std::sort(files.begin(), files.end(), [&](const InDirectory& a, const InDirectory& b) {
    return volume_of(a) != volume_of(b) ? volume_of(a) < volume_of(b) : sorts_before(a.directory, b.directory);
  });
  for (std::size_t i = 0; i < files.size();) {
    TreeSums sums(words.before(*files[i].row), threshold, list);
    const std::size_t first = i;
    for (; i < files.size() && volume_of(files[i]) == volume_of(files[first]); ++i)
      sums.add_row(files[i].directory, *files[i].row);
    sums.finish();
  }
  keep_lines(list, limit);
  return list;
}

}  // namespace vmferry::cli
