// The one adapter of libseccomp: what a sandboxed child may still ask of the kernel.
#pragma once

namespace vmferry::crack {

// From here on this process may talk on its open descriptors, get and return memory, and end; any other system
// call kills it. Throws Error{failed} where the kernel cannot do that: the child must not go on then.
void confine_system_calls();

}  // namespace vmferry::crack
