// Error: what every part of vmferry throws. It is thrown where the fault is noticed and translated once:
// at the session (to a wire error) and at main (to a sentence, a JSON object and an exit code).
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace vmferry {

enum class ErrorCode {
  failed,        // the general case
  usage,         // the command line or the configuration is wrong
  not_found,     // a file, a machine, a point, a path in a point
  exists,        // it would overwrite something
  refused,       // we could, but it would be unsafe: a disk in use, a name of another machine
  unsupported,   // a format or a feature that we do not read
  malformed,     // bytes from a disk or a peer that break their format
  damaged,       // our own store gives back other bytes than were put in
  unreachable,   // the target cannot be reached, or went away
  busy,          // somebody else holds it
  no_space,      // the store's or the output's disk is full
  permission,    // the operating system said no
  version,       // written by a newer vmferry, or spoken by one
  cancelled,     // the user or the peer stopped it
};

// The name that --json and the wire use: "not_found".
std::string_view error_code_name(ErrorCode code) noexcept;
// Unknown names give `failed`: a newer peer may know more codes.
ErrorCode error_code_from_name(std::string_view name) noexcept;
// The process's exit code: 1, 3 (unreachable, busy), 4 (damaged), 64 (usage).
int exit_code_for(ErrorCode code) noexcept;

class Error : public std::runtime_error {
 public:
  // what_happened: "cannot open the disk"; object: "/vm/web1.vmdk"; cause_or_advice: why, or what to do now.
  // what() reads "cannot open the disk: /vm/web1.vmdk: permission denied".
  Error(ErrorCode code, std::string what_happened, std::string object = {}, std::string cause_or_advice = {});

  // What another process said: its whole sentence, which names the object already.
  static Error as_told(ErrorCode code, const std::string& sentence, std::string object);

  ErrorCode code() const noexcept { return code_; }
  const std::string& object() const noexcept { return object_; }

 private:
  ErrorCode code_;
  std::string object_;
};

// The same with errno's text, and its code (ENOSPC: no_space, EACCES: permission, ENOENT: not_found, ...).
Error system_error(int error_number, std::string what_happened, std::string object);

}  // namespace vmferry
