// What a restore point may hold, asked when it is written and when it is read. Inside of point.cc.
#pragma once

#include "protocol/point.h"

namespace vmferry {

// Throws Error{malformed} naming the point and the field.
void check_point(const RestorePoint& point);

}  // namespace vmferry
