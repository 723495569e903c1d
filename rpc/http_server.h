// cpp-httplib's server with what it lacks on a port that strangers reach: a request has a deadline
// as a whole, not one for each byte; a connection carries one request, so that nobody keeps a
// thread by doing nothing; the line of connections that wait for a thread ends, and who comes then
// is told 503 and closed; and a Host that no listener of this server has is refused, since a page
// of another site that had its name point here would read what only this machine may.
//
// Threads: as httplib's. Cost: a thread per request in progress, a descriptor per connection in the
// line. Errors: as httplib's.
#pragma once

#include <httplib.h>

#include <atomic>
#include <string>
#include <vector>

#include "kvcache/base/clock.h"

namespace plimsoll {

// Whether a request's Host names this server: an address, "localhost", or one of `names`, which are
// in lower case. A missing one does: browsers always send it.
bool IsOurHost(const std::string& host, const std::vector<std::string>& names);

class HttpServer final : public httplib::Server {
 public:
  // Connections that wait for a thread.
  static constexpr int64_t kLongestLine = 256;

  // Connections that were told 503, because so many waited.
  int64_t turned_away() const { return turned_away_.load(); }

  // `names` are hosts beside addresses and localhost; a request has to have come within `to_ask`.
  HttpServer(size_t threads, std::vector<std::string> names, Duration to_ask);

  // Once bound: lets more than httplib's five callers wait to be accepted, so that a crowd does not
  // make the others try again after a second.
  void DeepenBacklog();

 private:
  bool process_and_close_socket(socket_t socket) override;

  const Duration to_ask_;
  std::atomic<int64_t> turned_away_{0};
};

}  // namespace plimsoll
