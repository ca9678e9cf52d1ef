#include "engine/crack/event_codec.h"
#include "engine/crack/sandbox.h"

namespace vmferry::crack {

void crack_volume(const VolumeBytes& bytes, const SandboxLimits& limits, VolumeSink& sink) {
  Sandbox sandbox(bytes, limits, limits.time_max + std::chrono::seconds(1));
  EventDecoder decoder(bytes.size_bytes, sink);
  sandbox.run(MessageKind::crack, 0, [&](ByteView buffer) { decoder.feed(buffer); });
  decoder.finish();
}

}  // namespace vmferry::crack
