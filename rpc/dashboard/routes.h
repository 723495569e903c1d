// What the HTTP port serves for people: the page at /, its files, and what it reads.
//
//   GET /api/v1/watch    Server-Sent Events, each the state; 503 with Retry-After for more viewers
//                        than there are threads to spare, who ask for the state instead
//   GET /api/v1/state    the pool, the outlook, decisions, waits, health
//   GET /api/v1/history  the last ten minutes
//   GET /api/v1/holders  who holds what, and who would go first
//   GET /api/v1/server   what the server is
//
// Threads: httplib's; a viewer has one for as long as it watches. Cost: the state is made at most
// five times a second and the holders once, whoever asks. Errors: none.
#pragma once

#include <httplib.h>

#include <memory>

#include "rpc/dashboard/live_feed.h"
#include "rpc/dashboard/pool_history.h"
#include "rpc/served.h"

namespace plimsoll {

class DashboardRoutes {
 public:
  // `served` outlives this. From here on the past is kept.
  DashboardRoutes(const Served& served, int64_t most_viewers);
  // Nothing is kept any more, and who watches is let go.
  ~DashboardRoutes();
  DashboardRoutes(const DashboardRoutes&) = delete;
  DashboardRoutes& operator=(const DashboardRoutes&) = delete;

  // `server` stops answering before this ends.
  void AddTo(httplib::Server& server);
  // Viewers for whom there was no place.
  int64_t turned_away() const { return feed_->turned_away(); }
  // Lets go who watches; call before the server stops.
  void Close() { feed_->Close(); }

 private:
  void AddFiles(httplib::Server& server) const;
  void AddData(httplib::Server& server);
  void AddWatch(httplib::Server& server);

  const Served& served_;
  const std::shared_ptr<PoolHistory> history_;
  const std::shared_ptr<LiveFeed> feed_;
};

}  // namespace plimsoll
