// The running half of an SSH connection: once somebody has logged in, all of it belongs to the IoLoop, where it moves bytes
// between the socket, libssh2 and the channels' rings. Only SshConnection::open() (ssh_login.cc) makes one.
#pragma once

#include <memory>

#include "protocol/transport/ssh_session.h"
#include "protocol/transport/ssh.h"
#include "protocol/transport/tcp_socket.h"

namespace vmferry {

// session: logged in, on this socket, which is non-blocking.
std::shared_ptr<SshConnection> run_ssh_connection(OwnedSocket socket, std::unique_ptr<SshSession> session,
                                                  const SshAddress& where, std::chrono::milliseconds timeout);

}  // namespace vmferry
