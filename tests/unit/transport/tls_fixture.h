// What the tests of TLS share: identities, a pair of connected ends, and the small calls around them.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "protocol/error.h"
#include "protocol/transport/tls.h"
#include "tests/support/error_of.h"
#include "tests/support/temporary_directory.h"

namespace vmferry::test {

const TlsIdentity& target_identity();      // made once for the process
const TlsIdentity& controller_identity();

TlsConnectOptions options_for(const TlsIdentity& target);

struct TlsPair {
  std::unique_ptr<Transport> client, server;
};
// through: where to connect, if not to the listener itself.
TlsPair connected_pair(TlsListener& listener, const HostPort& through);
TlsPair connected_pair();

void send(Transport& transport, ByteView bytes);
// Everything up to `count` bytes or the end.
Bytes receive(Transport& transport, std::size_t count);

// identity as files that openssl's programs read: key.pem and certificate.pem.
void write_files(const TlsIdentity& identity, const TemporaryDirectory& directory);

}  // namespace vmferry::test
