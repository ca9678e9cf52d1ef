// Until protocol/delta/delta_frame.cc is there: every delta is refused. Weak, so that the real ones win.
#include "protocol/delta/delta_frame.h"
#include "protocol/error.h"

namespace vmferry::delta {

struct DeltaPatcher::State {};
[[gnu::weak]] DeltaPatcher::DeltaPatcher() = default;
[[gnu::weak]] DeltaPatcher::~DeltaPatcher() = default;
[[gnu::weak]] ByteView DeltaPatcher::rebuild(const DeltaFrameView&, ByteView) { return {}; }
[[gnu::weak]] DeltaFrameView parse_delta_frame(ByteView) { throw Error(ErrorCode::unsupported, "no deltas yet"); }

}  // namespace vmferry::delta
