// plimsoll top: a server's pool on the terminal, live.
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "kvcache/base/errors.h"
#include "rpc/client.h"
#include "tools/client/security_arguments.h"
#include "tools/command.h"
#include "tools/duration_text.h"
#include "tools/top/terminal.h"
#include "tools/top/top_feed.h"
#include "tools/top/top_view.h"

namespace plimsoll {
namespace {

constexpr Duration kForFirst = std::chrono::seconds(6);

struct TopArguments {
  ClientOptions client;
  std::string format = "text";
  std::string interval = "1s";
  bool once = false;

  bool json() const { return format == "json"; }
};

// What the environment says of the terminal.
TopLook LookOf(bool terminal) {
  std::setlocale(LC_CTYPE, "");
  const char* const codeset = std::setlocale(LC_CTYPE, nullptr);
  const std::string locale = codeset == nullptr ? "" : codeset;
  const char* const no_colour = std::getenv("NO_COLOR");
  return {.colour = terminal && (no_colour == nullptr || *no_colour == '\0'),
          .unicode = locale.find("UTF-8") != std::string::npos ||
                     locale.find("utf8") != std::string::npos};
}

bool Say(const std::string& text) {
  std::fputs((text + "\n").c_str(), stdout);
  return std::fflush(stdout) == 0;
}

absl::Status SayOnce(const TopFeed& feed, const TopArguments& arguments) {
  const TopState state = feed.State();
  bool written = true;
  if (arguments.json()) {
    written = Say(TopJson(state));
  } else {
    for (const std::string& line : TopScreen(state, LookOf(/*terminal=*/false))) {
      written = Say(line) && written;
    }
  }
  return written ? absl::OkStatus() : absl::InternalError("standard output: cannot be written");
}

// Until somebody stops it, or nobody reads.
void SayLines(const TopFeed& feed, const TopArguments& arguments, Duration interval,
              const TerminalSignals& signals) {
  bool read = true;
  do {
    const TopState state = feed.State();
    read = Say(arguments.json() ? TopJson(state) : TopLine(state));
  } while (read && !signals.StopWithin(interval));
}

absl::Status ShowScreen(const TopFeed& feed, Duration interval, const TerminalSignals& signals) {
  const absl::StatusOr<std::unique_ptr<Terminal>> terminal = Terminal::Open(signals);
  if (!terminal.ok()) return terminal.status();
  TopLook look = LookOf(/*terminal=*/true);
  do {
    look.width = (*terminal)->width();
    look.height = (*terminal)->height();
    (*terminal)->Draw(TopScreen(feed.State(), look));
  } while ((*terminal)->Wait(interval) != Terminal::Event::kStop);
  return absl::OkStatus();
}

absl::StatusOr<Duration> IntervalOf(const TopArguments& arguments) {
  const absl::StatusOr<Duration> interval = ParseDuration(arguments.interval, "--interval");
  if (!interval.ok()) return interval;
  if (*interval < std::chrono::milliseconds(100) || *interval > std::chrono::hours(1)) {
    return BadField("--interval", arguments.interval, "100ms to 1h");
  }
  return interval;
}

absl::Status RunTop(const TopArguments& arguments) {
  const absl::StatusOr<Duration> interval = IntervalOf(arguments);
  if (!interval.ok()) return interval.status();
  const absl::StatusOr<std::unique_ptr<TerminalSignals>> signals = TerminalSignals::Create();
  if (!signals.ok()) return signals.status();
  const absl::StatusOr<std::unique_ptr<TopFeed>> feed = TopFeed::Start(arguments.client, *interval);
  if (!feed.ok()) return feed.status();
  PLIMSOLL_RETURN_IF_ERROR((*feed)->WaitForFirst(kForFirst));
  if (arguments.once) return SayOnce(**feed, arguments);
  if (!arguments.json() && Terminal::IsOne()) return ShowScreen(**feed, *interval, **signals);
  SayLines(**feed, arguments, *interval, **signals);
  return absl::OkStatus();
}

}  // namespace

void AddTopCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command = app.add_subcommand("top", "A server's pool, live on the terminal");
  const auto arguments = std::make_shared<TopArguments>();
  command->add_option("--server", arguments->client.server, "host:port or unix:/path")
      ->envname("PLIMSOLL_ADDR")
      ->capture_default_str();
  command
      ->add_option("--format", arguments->format,
                   "text, or json: one object on a line each interval")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->add_option("--interval", arguments->interval, "time between two looks, 100ms to 1h")
      ->capture_default_str();
  AddSecurityArguments(*command, arguments->client.security);
  command->add_flag("--once", arguments->once, "say it once and end");
  command->footer(
      "q or Ctrl-C ends it. Where it is not written to a terminal it says one line each interval.\n"
      "Colours are left out where NO_COLOR is set. Exit code: 4 where there is no server at "
      "first;\n"
      "a server that goes away later is shown as stale until it is back.");
  command->callback([arguments, &result] {
    const absl::Status status = RunTop(*arguments);
    if (!status.ok()) result.exit_code = ReportError(status);
  });
}

}  // namespace plimsoll
