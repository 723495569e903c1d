#include "tools/top/top_view.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "tools/client/listing_text.h"
#include "tools/top/styled_line.h"

namespace plimsoll {
namespace {

double SecondsOf(Duration duration) { return std::chrono::duration<double>(duration).count(); }

class Screen {
 public:
  explicit Screen(const TopLook& look) : look_(look) {}

  StyledLine Line() const { return {look_.width, look_.colour}; }
  void Show(const StyledLine& line) {
    if (lines_.size() < look_.height) lines_.push_back(line.text());
  }
  void Blank() { Show(Line()); }
  bool full() const { return lines_.size() >= look_.height; }
  const TopLook& look() const { return look_; }
  std::vector<std::string> Take() { return std::move(lines_); }

 private:
  const TopLook& look_;
  std::vector<std::string> lines_;
};

void ShowSentence(const TopState& state, Screen& screen) {
  screen.Show(screen.Line().Add(SentenceOf(state.outlook), Style::kBold));
  StyledLine where = screen.Line();
  if (state.stale) {
    where.Add("STALE " + ShortDuration(*state.stale), Style::kAlarm)
        .Add(": " + (state.fault.empty() ? "no answer from " + state.server : state.fault));
  } else {
    where.Add(state.server + "  pool " + state.report->pool, Style::kDim)
        .Right("epoch " + state.report->epoch, Style::kDim);
  }
  screen.Show(where);
}

// Shares of `width` columns, so that what is there is seen and the sum is right.
std::array<size_t, 4> SharesOf(const BlockCounts& blocks, size_t width) {
  const std::array<int64_t, 4> parts = {blocks.live.value(), blocks.reserved.value(),
                                        blocks.cached.value(), blocks.free.value()};
  std::array<size_t, 4> shares{};
  size_t taken = 0;
  for (size_t i = 0; i < 3; ++i) {
    const double share = static_cast<double>(parts[i]) / static_cast<double>(blocks.total.value());
    auto columns = static_cast<size_t>(share * static_cast<double>(width));
    if (columns == 0 && parts[i] > 0) columns = 1;
    shares[i] = std::min(columns, width - taken);
    taken += shares[i];
  }
  shares[3] = width - taken;
  return shares;
}

void ShowBlocks(const TopState& state, Screen& screen) {
  const AdmissionSnapshot& now = state.report->snapshot;
  const std::string total = " " + std::to_string(now.blocks.total.value());
  StyledLine bar = screen.Line().Add("blocks [");
  const size_t width = bar.left() > total.size() + 1 ? bar.left() - total.size() - 1 : 0;
  const std::array<size_t, 4> shares = SharesOf(now.blocks, width);
  bar.Glyph("#", shares[0], Style::kGreen)
      .Glyph("=", shares[1], Style::kYellow)
      .Glyph("-", shares[2], Style::kBlue)
      .Glyph(".", shares[3], Style::kDim)
      .Add("]")
      .Add(total);
  screen.Show(bar);
  StyledLine counts = screen.Line();
  counts.Add(absl::StrFormat("# live %d  ", now.blocks.live.value()), Style::kGreen)
      .Add(absl::StrFormat("= reserved %d  ", now.blocks.reserved.value()), Style::kYellow);
  const std::string cached = absl::StrFormat("- cached %d  ", now.blocks.cached.value());
  const std::string free = absl::StrFormat(". free %d  ", now.blocks.free.value());
  const std::string headroom = absl::StrFormat("headroom %d", now.headroom.value());
  if (counts.left() < cached.size() + free.size() + headroom.size()) {
    screen.Show(counts);
    counts = screen.Line();
  }
  counts.Add(cached, Style::kBlue).Add(free);
  if (counts.left() < headroom.size()) {
    screen.Show(counts);
    counts = screen.Line();
  }
  screen.Show(counts.Add(headroom));
}

// The newest usages, one column each, an eighth of a line each step.
void ShowUsage(const TopState& state, Screen& screen) {
  constexpr std::array<const char*, 9> kBlocks = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr std::array<const char*, 9> kLetters = {" ", ".", ".", ":", ":", "+", "+", "#", "#"};
  const auto& glyphs = screen.look().unicode ? kBlocks : kLetters;
  const double usage = state.usage.empty() ? 0 : state.usage.back();
  StyledLine line = screen.Line().Add(absl::StrFormat("usage  %3.0f%% ", 100 * usage));
  const size_t shown = std::min(line.left(), state.usage.size());
  for (size_t i = state.usage.size() - shown; i < state.usage.size(); ++i) {
    const double each = std::clamp(state.usage[i], 0.0, 1.0);
    const auto step = static_cast<size_t>(each * 8 + 0.999);
    const Style style = each >= 0.98 ? Style::kAlarm : each >= 0.9 ? Style::kYellow : Style::kGreen;
    line.Glyph(glyphs[std::min<size_t>(step, 8)], 1, style);
  }
  screen.Show(line);
}

void ShowCounts(const TopState& state, Screen& screen) {
  const AdmissionSnapshot& now = state.report->snapshot;
  const std::vector<std::string> counts = {
      absl::StrFormat("held %d", now.reservations),
      absl::StrFormat("waiting %d", now.waiting),
      absl::StrFormat("admitted %d (%.1f/s)", now.admitted, state.admitted_per_second),
      absl::StrFormat("after waiting %d", now.waited),
      absl::StrFormat("told to wait %d", now.refused_wait),
      absl::StrFormat("never %d", now.refused_never),
      absl::StrFormat("released %d", now.released),
      absl::StrFormat("expired %d", now.expired),
      absl::StrFormat("preempted %d", now.preempted)};
  StyledLine line = screen.Line();
  for (const std::string& count : counts) {
    if (line.left() < count.size() + 2 && !line.text().empty()) {
      screen.Show(line);
      line = screen.Line();
    }
    line.Add(count).Add(line.left() > 2 ? "  " : "");
  }
  screen.Show(line);
}

// Where the columns of the list begin; a narrow screen has no room for the state.
struct Columns {
  size_t tenant, state, numbers;
};

Columns ColumnsOf(const TopLook& look) {
  constexpr size_t kWide = 72;
  return look.width >= kWide ? Columns{.tenant = 25, .state = 40, .numbers = 52}
                             : Columns{.tenant = 11, .state = 20, .numbers = 20};
}

// The end of an id, where ids of one server differ.
std::string EndOf(const std::string& id, size_t most) {
  return id.size() <= most ? id : ".." + id.substr(id.size() - most + 2);
}

void ShowHolding(const Holding& holding, Screen& screen) {
  const Columns columns = ColumnsOf(screen.look());
  const Blocks unused = holding.blocks - std::min(holding.used, holding.blocks);
  StyledLine line = screen.Line();
  line.Add(EndOf(holding.id, columns.tenant - 1)).Pad(columns.tenant);
  line.Add(holding.tenant.substr(0, columns.state - columns.tenant - 1)).Pad(columns.state);
  if (columns.state < columns.numbers) line.Add(NameOf(holding.state)).Pad(columns.numbers);
  line.Add(absl::StrFormat("%6s %6d %6d", ShortDuration(holding.age), holding.blocks.value(),
                           unused.value()));
  screen.Show(line);
}

void ShowOldest(const TopState& state, Screen& screen) {
  const Columns columns = ColumnsOf(screen.look());
  StyledLine head = screen.Line();
  head.Add(columns.tenant > 11 ? "reservation" : "id", Style::kBold)
      .Pad(columns.tenant)
      .Add("tenant", Style::kBold);
  head.Pad(columns.state);
  if (columns.state < columns.numbers) head.Add("state", Style::kBold).Pad(columns.numbers);
  head.Add("   age blocks unused", Style::kBold);
  screen.Show(head);
  for (const Holding& holding : state.oldest) {
    if (screen.full()) return;
    ShowHolding(holding, screen);
  }
  if (state.oldest.empty()) screen.Show(screen.Line().Add("none", Style::kDim));
}

}  // namespace

std::vector<std::string> TopScreen(const TopState& state, const TopLook& look) {
  Screen screen(look);
  ShowSentence(state, screen);
  screen.Blank();
  ShowBlocks(state, screen);
  ShowUsage(state, screen);
  ShowCounts(state, screen);
  screen.Blank();
  ShowOldest(state, screen);
  return screen.Take();
}

std::string TopLine(const TopState& state) {
  const AdmissionSnapshot& now = state.report->snapshot;
  const std::string counts = absl::StrFormat(
      "live %d reserved %d cached %d free %d of %d; held %d waiting %d admitted %d; ",
      now.blocks.live.value(), now.blocks.reserved.value(), now.blocks.cached.value(),
      now.blocks.free.value(), now.blocks.total.value(), now.reservations, now.waiting,
      now.admitted);
  if (!state.stale) return counts + SentenceOf(state.outlook);
  return counts + "STALE " + ShortDuration(*state.stale) + ": " + state.fault;
}

std::string TopJson(const TopState& state) {
  using Json = nlohmann::ordered_json;
  const CapacityOutlook& outlook = state.outlook;
  const AdmissionSnapshot& now = state.report->snapshot;
  Json json = Json::parse(ToJson(*state.report), nullptr, /*allow_exceptions=*/false);
  json["sentence"] = SentenceOf(outlook);
  json["room_requests"] = outlook.room ? Json(*outlook.room) : Json(nullptr);
  json["shape_blocks"] = outlook.shape ? Json(outlook.shape->value()) : Json(nullptr);
  json["full_in_seconds"] = outlook.full_in ? Json(SecondsOf(*outlook.full_in)) : Json(nullptr);
  json["draining"] = now.draining;
  json["admitted_count"] = now.admitted;
  json["waited_count"] = now.waited;
  json["refused_wait_count"] = now.refused_wait;
  json["refused_never_count"] = now.refused_never;
  json["released_count"] = now.released;
  json["expired_count"] = now.expired;
  json["stale_seconds"] = state.stale ? Json(SecondsOf(*state.stale)) : Json(nullptr);
  json["fault"] = state.fault;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace plimsoll
