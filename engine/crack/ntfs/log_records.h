// What a record of $LogFile says of clusters.
#pragma once

#include <vector>

#include "engine/crack/ntfs/log_file.h"

namespace vmferry::crack {

// The client's part of an NTFS log record (after the 0x30 bytes of header that every record has). Appends the
// clusters that its redo or its undo may give to somebody or write to. Throws Error{malformed} where the record
// is of no known form.
void append_clusters_of_log_record(ByteView client_data, const LogGeometry& geometry, std::vector<ClusterRange>& named);

}  // namespace vmferry::crack
