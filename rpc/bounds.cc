#include "rpc/bounds.h"

#include <limits>
#include <string>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

std::string RangeText(const std::string& min, const std::string& max) { return min + " to " + max; }

std::string SecondsText(Duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(duration).count()) + "s";
}

}  // namespace

int64_t Bounds::NumberIn(const char* field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return value;
  Fail(BadField(field, value, RangeText(std::to_string(min), std::to_string(max))));
  return 0;
}

double Bounds::RealIn(const char* field, double value, double min, double max) {
  if (value >= min && value <= max) return value;
  Fail(BadField(field, std::to_string(value), RangeText(std::to_string(min), std::to_string(max))));
  return 0;
}

Tokens Bounds::TokensIn(const char* field, int64_t value, int64_t min) {
  return Tokens(NumberIn(field, value, min, kMaxTokens));
}

Blocks Bounds::BlocksIn(const char* field, int64_t value) { return Blocks(CountIn(field, value)); }
Bytes Bounds::BytesIn(const char* field, int64_t value) { return Bytes(CountIn(field, value)); }

int64_t Bounds::CountIn(const char* field, int64_t value) {
  return NumberIn(field, value, 0, std::numeric_limits<int64_t>::max());
}

Duration Bounds::DurationIn(const char* field, const google::protobuf::Duration& value,
                            Duration max) {
  const int64_t max_seconds = std::chrono::duration_cast<std::chrono::seconds>(max).count();
  const bool whole = value.nanos() >= 0 && value.nanos() < 1'000'000'000;
  if (whole && value.seconds() >= 0 && value.seconds() <= max_seconds) {
    const Duration duration = std::chrono::seconds(value.seconds()) + Duration(value.nanos());
    if (duration <= max) return duration;
  }
  Fail(BadField(field, std::to_string(value.seconds()) + "s", RangeText("0s", SecondsText(max))));
  return Duration::zero();
}

std::string Bounds::TextIn(const char* field, std::string value, size_t min, size_t max) {
  if (value.size() >= min && value.size() <= max) return value;
  Fail(BadField(field, "(" + std::to_string(value.size()) + " bytes)",
                RangeText(std::to_string(min), std::to_string(max)) + " bytes"));
  return "";
}

void Bounds::Fail(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
}

}  // namespace plimsoll
