// The target's side: greets lines, finds or makes the link that each belongs to, and keeps the links.
#include <algorithm>
#include <atomic>
#include <list>
#include <map>

#include "protocol/fair_share.h"
#include "protocol/link/greeting.h"
#include "protocol/link/link_end.h"

namespace vmferry::link {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t greetings_max = 256;  // lines whose hello has not come yet

// What LinkServer and its links share.
struct Links {
  struct Entry {
    std::shared_ptr<LinkEnd> end;
    Secret secret{};
  };
  using Key = std::pair<PeerName, Uuid>;

  std::vector<std::shared_ptr<LinkEnd>> all(const PeerName* peer = nullptr) {
    const std::lock_guard lock(mutex);
    std::vector<std::shared_ptr<LinkEnd>> found;
    for (const auto& [key, entry] : entries)
      if (peer == nullptr || key.first == *peer) found.push_back(entry.end);
    return found;
  }
  // Under the mutex.
  std::size_t count(const PeerName& peer) const {
    return static_cast<std::size_t>(std::ranges::count_if(entries, [&](const auto& each) { return each.first.first == peer; }));
  }
  void forget(const Key& key) noexcept {
    const std::lock_guard lock(mutex);
    entries.erase(key);
  }

  std::mutex mutex;
  std::map<Key, Entry> entries;
};

class TargetLinkEnd final : public TargetLink {
 public:
  TargetLinkEnd(std::shared_ptr<Links> links, Links::Key key, std::shared_ptr<LinkEnd> end)
      : links_(std::move(links)), key_(std::move(key)), end_(std::move(end)) {}
  ~TargetLinkEnd() override {
    end_->close();
    links_->forget(key_);
  }
  void send(std::span<const ByteView> parts) override { end_->send(parts); }
  std::size_t receive(std::span<std::byte> into) override { return end_->receive(into); }
  void finish_sending() override { end_->finish_sending(); }
  void abort() noexcept override { end_->abort(); }
  TransportCounts counts() const noexcept override { return end_->counts(); }
  const PeerName& peer() const noexcept override { return key_.first; }
  void note(const std::string& sentence) noexcept override { end_->note(sentence); }

 private:
  const std::shared_ptr<Links> links_;
  const Links::Key key_;
  const std::shared_ptr<LinkEnd> end_;
};

// Takes as long for secrets that differ in their first byte as in their last.
bool same_secret(const Secret& one, const Secret& other) noexcept {
  std::byte difference{0};
  for (std::size_t i = 0; i < one.size(); ++i) difference |= one[i] ^ other[i];
  return difference == std::byte{0};
}

class Server final : public LinkServer {
 public:
  Server(const LinkServerOptions& options, std::function<void(std::unique_ptr<TargetLink>)> on_link)
      : options_(options), on_link_(std::move(on_link)), keeper_([this] { keep(); }) {}

  ~Server() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    bell_->ring();
    keeper_.join();
    greetings_.clear();
    end_all("unreachable", "the target was stopped");
    const Clock::time_point then = Clock::now() + close_within;
    for (const auto& end : links_->all()) end->end_lines(then);
  }

  void take(std::unique_ptr<Transport> line, PeerName peer, ByteView received_already) override {
    const std::lock_guard lock(mutex_);
    if (stopping_ || !make_room()) return line->abort();
    try {
      greetings_.push_back(std::make_unique<Greeting>(
          std::move(line), std::move(peer), received_already, Clock::now() + options_.limits.hello_timeout,
          [this](const Hello& hello, const PeerName& from, NewLine& fresh) { admit(hello, from, fresh); }, bell_));
      bell_->ring();  // the keeper may be asleep for ever, and this one is due
    } catch (const std::system_error&) {  // no thread to be had: the line is dropped, and its client comes again
    }
  }

  void end(const PeerName& peer, const std::string& code, const std::string& sentence) noexcept override {
    for (const auto& end : links_->all(&peer)) end->fail(Error(error_code_from_name(code), sentence), true);
    const std::lock_guard lock(mutex_);
    for (const auto& greeting : greetings_)
      if (greeting->peer() == peer) greeting->give_up();
  }

  void end_all(const std::string& code, const std::string& sentence) noexcept override {
    for (const auto& end : links_->all()) end->fail(Error(error_code_from_name(code), sentence), true);
  }

 private:
  // Under mutex_. The oldest greeting of the peer that has most of them gives way: a peer whose lines say nothing takes no
  // other's room. Those that were given up end soon, but not at once: so they are bounded, too.
  bool make_room() {
    if (greetings_.size() >= 2 * greetings_max) return false;
    std::map<PeerName, std::size_t> counts;
    std::size_t all = 0;
    for (const auto& greeting : greetings_)
      if (!greeting->done() && !greeting->given_up()) ++counts[greeting->peer()], ++all;
    if (all < greetings_max) return true;
    const auto most = std::ranges::max_element(counts, {}, [](const auto& each) { return each.second; });
    const auto oldest = std::ranges::find_if(greetings_, [&](const auto& greeting) {
      return greeting->peer() == most->first && !greeting->done() && !greeting->given_up();
    });
    if (oldest != greetings_.end()) (*oldest)->give_up();
    return true;
  }

  // On the greeting's thread. Throws Error: what the client is told.
  void admit(const Hello& hello, const PeerName& peer, NewLine& fresh) {
    const Links::Key key(peer, hello.link);
    bool made = false;
    const std::shared_ptr<LinkEnd> end = find_or_make(hello, key, made);
    LinkEnd::Joined joined = LinkEnd::Joined::ended;
    try {
      fresh.number = hello.line;
      fresh.welcome = options_.lines_max;
      if (end != nullptr) joined = end->join(fresh, hello.standing, &hello.lines_alive, options_.lines_max);
    } catch (...) {
      if (made) {
        end->fail(Error(ErrorCode::malformed, "it began with a hello that cannot be"), true);
        end->end_lines(Clock::now());
        links_->forget(key);
      }
      throw;
    }
    if (joined == LinkEnd::Joined::yes) {
      if (made) on_link_(std::make_unique<TargetLinkEnd>(links_, key, end));
      return;
    }
    if (joined == LinkEnd::Joined::too_many)
      throw Error(ErrorCode::busy, "the session has as many lines as it may have");
    if (joined == LinkEnd::Joined::stale) malformed("a line that has been before");
    // The same sentence whether it never was, is another's, or is over.
    throw Error(ErrorCode::not_found, "the target does not know this session", {},
                "it was restarted, or has waited for too long");
  }

  std::shared_ptr<LinkEnd> find_or_make(const Hello& hello, const Links::Key& key, bool& made) {
    const std::lock_guard lock(links_->mutex);
    const auto there = links_->entries.find(key);
    if (there != links_->entries.end())
      return same_secret(there->second.secret, hello.secret) ? there->second.end : nullptr;
    if (!hello.create) return nullptr;
    if (links_->entries.size() >= options_.links_max || links_->count(key.first) >= share_of_one(options_.links_max))
      throw Error(ErrorCode::busy, "the target has as many sessions as it may have", {}, "try again later");
    auto end = std::make_shared<LinkEnd>(LinkEnd::Options{.limits = options_.limits}, bell_);
    links_->entries.emplace(key, Links::Entry{end, hello.secret});
    made = true;
    return end;
  }

  void keep() noexcept {
    while (true) {
      const Clock::time_point again = step(Clock::now());
      {
        const std::lock_guard lock(mutex_);
        if (stopping_) return;
      }
      bell_->wait_until(again);
    }
  }

  Clock::time_point step(Clock::time_point now) {
    Clock::time_point again = Clock::time_point::max();
    std::list<std::unique_ptr<Greeting>> done;
    {
      const std::lock_guard lock(mutex_);
      for (auto at = greetings_.begin(); at != greetings_.end();) {
        const auto next = std::next(at);
        if ((*at)->done()) {
          done.splice(done.end(), greetings_, at);
        } else if ((*at)->due() <= now) {
          (*at)->give_up();
        } else {
          again = std::min(again, (*at)->due());
        }
        at = next;
      }
    }
    done.clear();
    for (const auto& end : links_->all()) {
      end->reap();
      again = std::min(again, end->check(now));
      const LinkEnd::Status status = end->status();
      if (status.ended || status.lines > 0) continue;
      if (status.lines_lost + options_.park <= now) {
        end->fail(Error(ErrorCode::unreachable, "the client's line broke, and it did not come back", {},
                        status.why_broken),
                  false);
      } else {
        again = std::min(again, status.lines_lost + options_.park);
      }
    }
    return again;
  }

  const LinkServerOptions options_;
  const std::function<void(std::unique_ptr<TargetLink>)> on_link_;
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  const std::shared_ptr<Links> links_ = std::make_shared<Links>();

  std::mutex mutex_;
  bool stopping_ = false;
  std::list<std::unique_ptr<Greeting>> greetings_;

  std::thread keeper_;  // the last member: it uses the others
};

}  // namespace

std::unique_ptr<LinkServer> LinkServer::create(const LinkServerOptions& options,
                                               std::function<void(std::unique_ptr<TargetLink>)> on_link) {
  return std::make_unique<Server>(options, std::move(on_link));
}

}  // namespace vmferry::link
