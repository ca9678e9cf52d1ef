#include "engine/crack/ntfs/log_file.h"
namespace vmferry::crack {
bool log_cleanly_closed(ByteView) { return true; }
LogFindings examine_log(std::span<std::byte>, const LogGeometry&) { return {}; }
}
