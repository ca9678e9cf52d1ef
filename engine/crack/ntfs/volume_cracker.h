// What the sandboxed child does with a volume: all events of volume_events.h, in order, memory independent of the
// number of files.
#pragma once

#include "engine/crack/event_codec.h"
#include "engine/crack/volume_reader.h"

namespace vmferry::crack {

// Throws Error{malformed} where the volume as a whole cannot be cracked.
void crack_ntfs(VolumeReader& volume, EventWriter& events);

}  // namespace vmferry::crack
