#include "kvcache/model/gguf_keys.h"

#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

std::string Shown(const GgufValue& value) {
  if (const auto* const whole = std::get_if<int64_t>(&value)) return std::to_string(*whole);
  if (const auto* const real = std::get_if<double>(&value)) return std::to_string(*real);
  if (const auto* const text = std::get_if<std::string>(&value)) return '"' + Excerpt(*text) + '"';
  return "a list of " + std::to_string(std::get<GgufList>(value).length);
}

std::string Range(int64_t min, int64_t max) {
  return "a whole number from " + std::to_string(min) + " to " + std::to_string(max);
}

template <class Kind>
std::optional<Kind> ValueOf(const GgufHeader& header, const std::string& key) {
  const auto found = header.metadata.find(key);
  if (found == header.metadata.end()) return std::nullopt;
  const Kind* const value = std::get_if<Kind>(&found->second);
  if (value == nullptr) return std::nullopt;
  return *value;
}

}  // namespace

std::optional<std::string> GgufText(const GgufHeader& header, const std::string& key) {
  return ValueOf<std::string>(header, key);
}

std::optional<int64_t> GgufNumber(const GgufHeader& header, const std::string& key) {
  return ValueOf<int64_t>(header, key);
}

const GgufValue* GgufKeys::Find(std::string_view key) const {
  const auto found = header_.metadata.find(prefix_ + std::string(key));
  return found == header_.metadata.end() ? nullptr : &found->second;
}

bool GgufKeys::IsList(std::string_view key) const {
  const GgufValue* const value = Find(key);
  return value != nullptr && std::holds_alternative<GgufList>(*value);
}

void GgufKeys::Fail(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void GgufKeys::Refuse(std::string_view key, std::string_view wanted) {
  const GgufValue* const value = Find(key);
  const std::string whole = prefix_ + std::string(key);
  Fail(value == nullptr ? absl::InvalidArgumentError(whole + ": missing")
                        : BadField(whole, Shown(*value), wanted));
}

int64_t GgufKeys::Whole(std::string_view key, int64_t min, int64_t max,
                        std::optional<int64_t> fallback) {
  const GgufValue* const value = Find(key);
  if (value == nullptr && fallback) return *fallback;
  const int64_t* const whole = value == nullptr ? nullptr : std::get_if<int64_t>(value);
  if (whole != nullptr && *whole >= min && *whole <= max) return *whole;
  Refuse(key, Range(min, max));
  return min;
}

int64_t GgufKeys::Count(std::string_view key, int64_t max) {
  return Whole(key, 1, max, std::nullopt);
}

int64_t GgufKeys::Count(std::string_view key, int64_t max, int64_t fallback) {
  return Whole(key, 1, max, fallback);
}

int64_t GgufKeys::Index(std::string_view key, int64_t max, int64_t fallback) {
  return Whole(key, 0, max, fallback);
}

std::vector<int64_t> GgufKeys::PerLayer(std::string_view key, int64_t layers, int64_t max) {
  const auto count = static_cast<size_t>(layers);
  if (!IsList(key)) return std::vector<int64_t>(count, Whole(key, 0, max, std::nullopt));
  const auto& list = std::get<GgufList>(*Find(key));
  if (list.values.size() != count) {
    Refuse(key, "a whole number for each of " + std::to_string(layers) + " blocks");
    return std::vector<int64_t>(count, 0);
  }
  for (const int64_t each : list.values) {
    if (each < 0 || each > max) {
      Fail(BadField(prefix_ + std::string(key), each, "a list of " + Range(0, max)));
      return std::vector<int64_t>(count, 0);
    }
  }
  return list.values;
}

}  // namespace plimsoll
