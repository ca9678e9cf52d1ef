#include "target-server/store/about_file.h"

#include <charconv>
#include <string>

#include "protocol/error.h"
#include "target-server/store/local_files.h"

namespace vmferry::store {
namespace {

constexpr std::uint64_t format_version = 1;
constexpr std::size_t file_bytes_max = 4096;

// The text after "NAME = ", without quotation marks; empty where the line is not there.
std::string value_of(std::string_view text, std::string_view name) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    const std::string start = std::string(name) + " = ";
    if (line.starts_with(start)) {
      std::string value(line.substr(start.size()));
      std::erase(value, '"');
      return value;
    }
    at = end + 1;
  }
  return {};
}

}  // namespace

void write_about(const std::filesystem::path& store, const AboutStore& about) {
  const std::string text =
      "# A store of vmferry. Packs, points and domains are the data; the rest can be rebuilt.\n"
      "format_version = " +
      std::to_string(format_version) + "\nuuid = \"" + about.store.to_string() + "\"\ndomain = \"" +
      about.domain.to_string() + "\"\n";
  write_durably(store / about_file_name, as_bytes(text), Existing::keep);
}

AboutStore read_about(const std::filesystem::path& store) {
  const std::filesystem::path file = store / about_file_name;
  if (!facts_of(file))
    throw Error(ErrorCode::not_found, "no vmferry store in " + store.string() +
                                          ": is the disk mounted? `vmferry-target "
                                          "init --store " +
                                          store.string() + "` makes one");
  const Bytes bytes = read_whole(file, file_bytes_max);
  const std::string_view text = as_text(bytes);
  const std::string version_text = value_of(text, "format_version");
  std::uint64_t version = 0;
  std::from_chars(version_text.data(), version_text.data() + version_text.size(), version);
  if (version > format_version)
    throw Error(ErrorCode::version, "the store was made by a newer vmferry", store,
                "its format is " + std::to_string(version) + ", this program reads " + std::to_string(format_version) +
                    "; update vmferry");
  const std::optional<Uuid> uuid = Uuid::parse(value_of(text, "uuid"));
  const std::optional<Uuid> domain = Uuid::parse(value_of(text, "domain"));
  if (version != format_version || !uuid || uuid->is_none() || !domain || domain->is_none())
    throw Error(
        ErrorCode::damaged, "the store's description is damaged", file,
        "it needs the lines format_version = 1, uuid = \"...\" and domain = \"...\" (every pack's header has both)");
  return {*uuid, *domain};
}

}  // namespace vmferry::store
