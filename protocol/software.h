// What this software calls itself, to people, peers and in restore points. The version stands in CMakeLists.txt only.
#pragma once

namespace vmferry {

extern const char* const software_version;  // "0.1.0"
extern const char* const software_name;     // "vmferry 0.1.0"

}  // namespace vmferry
