#include "target-server/serve/embedded_target.h"

#include <thread>
#include <tuple>
#include <utility>

namespace vmferry::target_server {
namespace {

class EmbeddedTarget final : public Transport {
 public:
  EmbeddedTarget(std::unique_ptr<store::Store> store, const ServeOptions& options) : store_(std::move(store)) {
    std::tie(ours_, theirs_) = memory_transport();
    server_ = std::thread([this, options] { serve(options); });
  }
  ~EmbeddedTarget() override {
    theirs_->abort();
    server_.join();
  }

  void send(std::span<const ByteView> parts) override { ours_->send(parts); }
  std::size_t receive(std::span<std::byte> into) override { return ours_->receive(into); }
  void finish_sending() override { ours_->finish_sending(); }
  void abort() noexcept override { ours_->abort(); }
  TransportCounts counts() const noexcept override { return ours_->counts(); }

 private:
  void serve(const ServeOptions& options) noexcept {
    try {
      serve_session(*theirs_, *store_, options);
    } catch (...) {  // the client was told why
      theirs_->abort();
    }
  }

  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Transport> ours_, theirs_;
  std::thread server_;
};

}  // namespace

std::unique_ptr<Transport> embedded_target(std::unique_ptr<store::Store> store, const ServeOptions& options) {
  return std::make_unique<EmbeddedTarget>(std::move(store), options);
}

}  // namespace vmferry::target_server
