// Names that mean something to a backup: what may be left out, and what says that more must be kept.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/crack/ntfs/file_record.h"

namespace vmferry::crack {

enum class Excludable : std::uint8_t { no = 0, pagefile = 1, hiberfile = 2 };

// By the name alone, whatever its case.
Excludable excludable_name(std::u16string_view name);
// A hidden system file, no directory, all of whose names are such names in the root.
Excludable excludable_file(const FileRecord& file);
// Where the differences of persistent shadow copies lie: {any}{3808876b-c176-4e48-b7ae-04046e6cc752}.
bool is_shadow_store_name(std::u16string_view name);

// What the first 4 KiB of hiberfil.sys say. Only what is known to be no sleeping Windows is none: zeros (never
// used, or resumed) and "wake".
bool hiberfile_says_asleep(ByteView header);

}  // namespace vmferry::crack
