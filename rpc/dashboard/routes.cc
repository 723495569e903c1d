#include "rpc/dashboard/routes.h"

#include <string>
#include <string_view>
#include <utility>

#include "rpc/dashboard/assets.h"
#include "rpc/dashboard/cached_text.h"
#include "rpc/dashboard/page_data.h"

namespace plimsoll {
namespace {

using httplib::Request;
using httplib::Response;

constexpr char kJson[] = "application/json";

void AddFile(httplib::Server& server, const std::string& path, std::string_view text,
             const std::string& type) {
  server.Get(path, [text, type](const Request&, Response& response) {
    response.set_content(text.data(), text.size(), type);
  });
}

// The same text for all who ask within `oldest`.
void AddText(httplib::Server& server, const std::string& path, Duration oldest,
             std::function<std::string()> make) {
  const auto text = std::make_shared<CachedText>(oldest, std::move(make));
  server.Get(path, [text](const Request&, Response& response) {
    response.set_content(text->Get() + "\n", kJson);
  });
}

// One who watches: what it has seen, and its place among those who may.
class Viewer {
 public:
  Viewer(std::shared_ptr<LiveFeed> feed, std::string seen_id)
      : feed_(std::move(feed)), seen_id_(std::move(seen_id)) {}
  ~Viewer() { feed_->Leave(); }
  Viewer(const Viewer&) = delete;
  Viewer& operator=(const Viewer&) = delete;

  // Waits for what is new and writes it; false when it is over.
  bool Write(httplib::DataSink& sink) {
    const std::shared_ptr<const LiveFeed::Event> event = feed_->Next(seen_);
    if (event == nullptr || !sink.is_writable()) return false;
    seen_ = event->number;
    const bool known = std::exchange(seen_id_, "") == event->id;
    const std::string text = known ? ": as you know\n\n" : EventText(*event);
    return sink.write(text.data(), text.size());
  }

 private:
  const std::shared_ptr<LiveFeed> feed_;
  std::string seen_id_;  // by the one who comes back
  int64_t seen_ = 0;
};

}  // namespace

DashboardRoutes::DashboardRoutes(const Served& served, int64_t most_viewers)
    : served_(served),
      history_(std::make_shared<PoolHistory>(served.identity, served.admission.tally())),
      feed_(std::make_shared<LiveFeed>(
          served.info.epoch, most_viewers,
          [&served, history = history_] { return StateJson(served, *history); })) {
  served_.housekeeper.Watch(history_);
  served_.housekeeper.Watch(feed_);
}

DashboardRoutes::~DashboardRoutes() {
  feed_->Close();
  served_.housekeeper.Unwatch(feed_.get());
  served_.housekeeper.Unwatch(history_.get());
}

void DashboardRoutes::AddTo(httplib::Server& server) {
  AddFiles(server);
  AddData(server);
  AddWatch(server);
}

void DashboardRoutes::AddFiles(httplib::Server& server) const {
  AddFile(server, "/", DashboardPage(), "text/html; charset=utf-8");
  AddFile(server, R"(/dashboard\.css)", DashboardStyle(), "text/css; charset=utf-8");
  AddFile(server, R"(/charts\.js)", DashboardCharts(), "text/javascript; charset=utf-8");
  AddFile(server, R"(/dashboard\.js)", DashboardScript(), "text/javascript; charset=utf-8");
  AddFile(server, R"(/chart\.min\.js)", DashboardLibrary(), "text/javascript; charset=utf-8");
  AddFile(server, R"(/icon\.svg)", DashboardIcon(), "image/svg+xml");
}

void DashboardRoutes::AddData(httplib::Server& server) {
  const Served& served = served_;
  const std::shared_ptr<PoolHistory> history = history_;
  AddText(server, "/api/v1/state", LiveFeed::kLeastApart,
          [&served, history] { return StateJson(served, *history); });
  AddText(server, "/api/v1/holders", std::chrono::seconds(1),
          [&served] { return HoldersJson(served); });
  AddText(server, "/api/v1/history", std::chrono::seconds(1),
          [history] { return HistoryJson(*history); });
  AddText(server, "/api/v1/server", std::chrono::seconds(1),
          [&served] { return ServerJson(served); });
}

void DashboardRoutes::AddWatch(httplib::Server& server) {
  server.Get("/api/v1/watch", [feed = feed_](const Request& request, Response& response) {
    if (!feed->Join()) {
      response.status = 503;
      response.set_header("Retry-After", "5");
      response.set_content("all places to watch from are taken; read /api/v1/state\n",
                           "text/plain");
      return;
    }
    auto viewer = std::make_shared<Viewer>(feed, request.get_header_value("Last-Event-ID"));
    response.set_chunked_content_provider(
        "text/event-stream",
        [viewer](size_t, httplib::DataSink& sink) { return viewer->Write(sink); });
  });
}

}  // namespace plimsoll
