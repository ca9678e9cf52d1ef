// many-sessions URL COUNT: opens so many sessions at once, says {"open": COUNT}, and holds them until its standard input
// ends. For measuring what idle sessions cost a target.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <vector>

#include "protocol/session/dial.h"
#include "protocol/session/target_session.h"

int main(int argc, char** argv) try {
  if (argc != 4) {
    std::fputs("many-sessions URL ENROLMENTS COUNT\n", stderr);
    return 64;
  }
  vmferry::target::DialOptions options;
  options.enrolments = argv[2];
  std::vector<std::unique_ptr<vmferry::target::TargetSession>> sessions;
  for (long left = std::strtol(argv[3], nullptr, 10); left > 0; --left)
    sessions.push_back(vmferry::target::TargetSession::open(vmferry::target::dial(argv[1], options),
                                                            {vmferry::Uuid::random(), "many-sessions"}));
  std::cout << "{\"open\": " << sessions.size() << "}" << std::endl;
  while (std::cin.get() != std::char_traits<char>::eof()) {
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "many-sessions: %s\n", error.what());
  return 1;
}
