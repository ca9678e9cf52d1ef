// Asio as every file of this folder includes it: with the same switches (they change inline code, so they must not differ
// between translation units), and no more of it than is used by all. Never included by a header that others include.
#pragma once

// No fences: the thread sanitizer knows none, and the queues' own locks order everything that we hand over.
#define BOOST_ASIO_DISABLE_FENCED_BLOCK
#if defined(__clang__) && !defined(BOOST_ASIO_HAS_CO_AWAIT)  // clang 14 can, but does not say so
#define BOOST_ASIO_HAS_CO_AWAIT
#define BOOST_ASIO_HAS_STD_COROUTINE
#endif
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace vmferry {
namespace asio = boost::asio;
}
