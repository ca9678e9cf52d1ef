// Pins: pins/CLIENT/MACHINE, one small text file for each backup that began and was not committed: a collection of garbage
// keeps every pack that was open or written since the pin's beginning, so that the next try need not send again what
// arrived, however many tries and weeks it takes. Written durably before the first chunk comes; each try renews it; the
// commit removes it; what nobody renewed in time counts no more. docs/format/store.md has the lines.
// The caller holds the machine's lease. Times are Unix seconds of the target's clock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "target-server/store/store.h"

namespace vmferry::store {

// Keeps the beginning of a pin that is still good. Removes those of any machine that are not.
void write_pin(const std::filesystem::path& store, const Uuid& client, const Uuid& machine, const std::string& machine_name,
               std::int64_t now, unsigned days);
void remove_pin(const std::filesystem::path& store, const Uuid& client, const Uuid& machine);
// By client and machine. A file that cannot be understood counts as a pin of everything, until it is as old as one may be.
std::vector<Pin> read_pins(const std::filesystem::path& store);

}  // namespace vmferry::store
