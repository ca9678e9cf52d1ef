// A program of this host as a transport: what is sent goes to its standard input, what is received comes from its standard
// output. Beside our own SSH this is `--ssh-command`: the system's ssh, or whatever else carries bytes to the far side.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "protocol/transport/transport.h"

namespace vmferry {

// Starts words[0], looked up in PATH; no shell reads the words. The program runs in a session of its own: Ctrl-C at our
// terminal does not reach it, so that we can finish first, and it has no terminal to ask for a password on. It ends with
// the transport: by itself after both directions have ended, else by SIGTERM, and by SIGKILL where that does not
// help. The end of its output is a clean end unless the program fails; then Error{unreachable} has its exit code and the last
// lines of its standard error. Throws Error{unreachable} where it cannot be started, Error{usage} for no words.
std::unique_ptr<Transport> run_program(const std::vector<std::string>& words);

// "ssh -J 'my jump'" -> its words, by the shell's quoting rules: quotes and backslashes, and nothing else of a shell.
// Throws Error{usage}.
std::vector<std::string> split_words(const std::string& command);

// A word for a POSIX shell, in quotes where it needs them.
std::string shell_quoted(const std::string& word);

}  // namespace vmferry
