#include "protocol/software.h"

namespace vmferry {

const char* const software_version = VMFERRY_VERSION;
const char* const software_name = "vmferry " VMFERRY_VERSION;

}  // namespace vmferry
