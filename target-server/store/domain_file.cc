#include "target-server/store/domain_file.h"

#include <array>
#include <charconv>

#include "protocol/error.h"
#include "target-server/store/local_files.h"

namespace vmferry::store {
namespace {

constexpr std::string_view first_line = "vmferry-domain 1";
constexpr std::size_t text_bytes_max = 4096;

std::array<std::filesystem::path, 3> copies_of(const std::filesystem::path& store, const Uuid& domain) {
  const std::string name = domain.to_string();
  return {store / "domains" / name / "domain", store / "domains" / name / "domain.copy1",
          store / "packs" / ("domain-" + name)};
}

std::string checksum_line(std::string_view text) {
  const std::array<std::byte, 32> hash = blake3_of(as_bytes(text));
  return "checksum " + to_hex(ByteView(hash).first(16)) + "\n";
}

[[noreturn]] void fail(std::string_view why) {
  throw Error(ErrorCode::malformed, "this is no exported domain key", {}, std::string(why));
}

// Takes "name value" lines off the text in their one order.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}

  std::string_view line() {
    const std::size_t end = rest_.find('\n');
    if (end == std::string_view::npos) fail("it ends too early");
    const std::string_view taken = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return taken;
  }
  std::string_view value(std::string_view name) {
    std::string_view taken = line();
    if (!taken.starts_with(name) || taken.size() <= name.size() || taken[name.size()] != ' ')
      fail("a line is missing: " + std::string(name));
    return taken.substr(name.size() + 1);
  }
  template <typename T>
  T number(std::string_view name, int base) {
    const std::string_view text = value(name);
    T parsed{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed, base);
    if (error != std::errc{} || end != text.data() + text.size()) fail("not a number: " + std::string(name));
    return parsed;
  }

 private:
  std::string_view rest_;
};

std::string without_carriage_returns(std::string_view text) {
  std::string clean;
  for (const char c : text)
    if (c != '\r') clean += c;
  if (!clean.ends_with('\n')) clean += '\n';
  return clean;
}

}  // namespace

std::string export_domain(const DomainFacts& domain) {
  std::array<char, 17> seed{};
  const auto seed_end = std::to_chars(seed.data(), seed.data() + seed.size(), domain.chunking.gear_seed, 16);
  std::string text(first_line);
  text += "\nuuid " + domain.uuid.to_string() + "\nkey " + to_hex(domain.key.bytes);
  text += "\nchunk_size_min " + std::to_string(domain.chunking.size_min);
  text += "\nchunk_size_average " + std::to_string(domain.chunking.size_average);
  text += "\nchunk_size_max " + std::to_string(domain.chunking.size_max);
  text += "\ngear_seed " + std::string(seed.data(), seed_end.ptr) + "\n";
  return text + checksum_line(text);
}

DomainFacts import_domain(std::string_view raw) {
  if (raw.size() > text_bytes_max) fail("it is too long");
  const std::string text = without_carriage_returns(raw);
  const std::size_t begin = text.find(first_line);
  if (begin == std::string::npos) fail("its first line is not \"" + std::string(first_line) + "\"");
  const std::string_view body = std::string_view(text).substr(begin);
  const std::size_t checksum_at = body.find("\nchecksum ");
  if (checksum_at == std::string_view::npos) fail("it has no checksum line");
  const std::string expected = checksum_line(body.substr(0, checksum_at + 1));
  if (!body.substr(checksum_at + 1).starts_with(expected))
    throw Error(ErrorCode::damaged, "an exported domain key is damaged", {}, "its checksum does not match");

  Lines lines(body);
  lines.line();
  DomainFacts domain;
  const std::optional<Uuid> uuid = Uuid::parse(lines.value("uuid"));
  if (!uuid || uuid->is_none()) fail("its UUID is none");
  domain.uuid = *uuid;
  const Bytes key = from_hex(lines.value("key"));
  if (key.size() != domain.key.bytes.size()) fail("its key is not 32 bytes");
  std::copy(key.begin(), key.end(), domain.key.bytes.begin());
  domain.chunking.size_min = lines.number<std::uint32_t>("chunk_size_min", 10);
  domain.chunking.size_average = lines.number<std::uint32_t>("chunk_size_average", 10);
  domain.chunking.size_max = lines.number<std::uint32_t>("chunk_size_max", 10);
  domain.chunking.gear_seed = lines.number<std::uint64_t>("gear_seed", 16);
  domain.chunking.validate();
  return domain;
}

void write_domain(const std::filesystem::path& store, const DomainFacts& domain) {
  const std::string text = export_domain(domain);
  for (const std::filesystem::path& copy : copies_of(store, domain.uuid)) {
    make_directory(copy.parent_path());
    write_durably(copy, as_bytes(text), Existing::replace);
  }
}

LoadedDomain load_domain(const std::filesystem::path& store, const Uuid& domain) {
  LoadedDomain loaded;
  std::string first_reason;
  bool found = false;
  for (const std::filesystem::path& copy : copies_of(store, domain)) {
    try {
      const DomainFacts facts = import_domain(as_text(read_whole(copy, text_bytes_max)));
      if (facts.uuid != domain) throw Error(ErrorCode::damaged, "it is another domain's");
      if (!found) loaded.facts = facts;
      found = true;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::permission) throw;
      if (first_reason.empty()) first_reason = error.what();
      loaded.bad_copies.push_back(copy);
    }
  }
  if (!found)
    throw Error(ErrorCode::damaged, "the store's domain key is lost: no copy of it is good",
                copies_of(store, domain)[0],
                first_reason + "; put the text of an earlier `vmferry-target key export` there");
  return loaded;
}

}  // namespace vmferry::store
