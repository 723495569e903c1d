#include "kvcache/model/config_fields.h"

#include <cmath>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

using nlohmann::json;

// A value on one line, cut short where it is long.
std::string Shown(const json& value) {
  if (value.is_object()) return "{...}";
  if (value.is_array()) return "[...]";
  return Excerpt(value.dump());
}

std::string WholeNumberWanted(int64_t min, int64_t max) {
  return "a whole number from " + std::to_string(min) + " to " + std::to_string(max);
}

}  // namespace

ConfigFields::ConfigFields(const json& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {}

const json* ConfigFields::Find(std::string_view name) const {
  const auto found = object_.find(Spelled(name));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::string ConfigFields::Spelled(std::string_view name) const {
  std::string own(name);
  if (aliases_.empty() || object_.contains(own)) return own;
  std::string_view likely = name;
  for (const auto& [canonical, spelling] : aliases_) {
    if (canonical != name) continue;
    if (object_.contains(spelling)) return spelling;
    likely = spelling;
  }
  return std::string(likely);
}

void ConfigFields::Alias(std::string_view name, std::string_view spelling) {
  const auto one = object_.find(std::string(name));
  const auto other = object_.find(std::string(spelling));
  if (one != object_.end() && other != object_.end() && *one != *other) {
    RefuseValue(spelling, *other, "the value of " + std::string(name) + ", " + Shown(*one));
  }
  aliases_.emplace_back(name, spelling);
}

bool ConfigFields::Has(std::string_view name) const { return Find(name) != nullptr; }

bool ConfigFields::IsNull(std::string_view name) const {
  const auto found = object_.find(Spelled(name));
  return found != object_.end() && found->is_null();
}

bool ConfigFields::IsList(std::string_view name) const {
  const json* const value = Find(name);
  return value != nullptr && value->is_array();
}

bool ConfigFields::IsText(std::string_view name) const {
  const json* const value = Find(name);
  return value != nullptr && value->is_string();
}

bool ConfigFields::IsMinusOne(std::string_view name) const {
  const nlohmann::json* const value = Find(name);
  return value != nullptr && *value == -1;
}

void ConfigFields::Fail(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void ConfigFields::Refuse(std::string_view name, std::string_view wanted) {
  const json* const value = Find(name);
  if (value != nullptr) return RefuseValue(name, *value, wanted);
  Fail(absl::InvalidArgumentError(prefix_ + Spelled(name) + ": missing; want " +
                                  std::string(wanted)));
}

void ConfigFields::RefuseValue(std::string_view name, const json& value, std::string_view wanted) {
  Fail(BadField(prefix_ + Spelled(name), Shown(value), wanted));
}

std::optional<int64_t> ConfigFields::Whole(const json& value, std::string_view name, int64_t min,
                                           int64_t max) {
  const bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= static_cast<uint64_t>(max)
                                               : value.is_number_integer();
  if (fits && value.get<int64_t>() >= min && value.get<int64_t>() <= max) {
    return value.get<int64_t>();
  }
  RefuseValue(name, value, WholeNumberWanted(min, max));
  return std::nullopt;
}

std::optional<double> ConfigFields::Real(const json& value, std::string_view name) {
  if (value.is_number()) {
    const double number = value.get<double>();
    if (std::isfinite(number) && number > 0) return number;
  }
  RefuseValue(name, value, "a number above 0");
  return std::nullopt;
}

int64_t ConfigFields::Count(std::string_view name, int64_t max) {
  if (!Has(name)) Refuse(name, WholeNumberWanted(1, max));
  return OptionalCount(name, max).value_or(1);
}

int64_t ConfigFields::Count(std::string_view name, int64_t max, int64_t fallback) {
  return OptionalCount(name, max).value_or(fallback);
}

std::optional<int64_t> ConfigFields::OptionalCount(std::string_view name, int64_t max) {
  const json* const value = Find(name);
  return value == nullptr ? std::nullopt : Whole(*value, name, 1, max);
}

std::optional<int64_t> ConfigFields::CountOrNull(std::string_view name, int64_t max,
                                                 int64_t fallback) {
  if (!object_.contains(Spelled(name))) return fallback;
  return OptionalCount(name, max);
}

int64_t ConfigFields::Index(std::string_view name, int64_t max, int64_t fallback) {
  const json* const value = Find(name);
  return value == nullptr ? fallback : Whole(*value, name, 0, max).value_or(0);
}

double ConfigFields::Positive(std::string_view name, double fallback) {
  const json* const value = Find(name);
  return value == nullptr ? fallback : Real(*value, name).value_or(fallback);
}

bool ConfigFields::Flag(std::string_view name, bool fallback) {
  const json* const value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) RefuseValue(name, *value, "true or false");
  return value->is_boolean() && value->get<bool>();
}

std::optional<std::string> ConfigFields::Text(std::string_view name) {
  const json* const value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  RefuseValue(name, *value, "a string");
  return std::nullopt;
}

std::vector<std::string> ConfigFields::Texts(std::string_view name) {
  std::vector<std::string> texts;
  const json* const list = Find(name);
  if (list == nullptr) return texts;
  if (!list->is_array()) RefuseValue(name, *list, "a list of strings");
  for (const json& value : *list) {
    if (!value.is_string()) RefuseValue(name, value, "a list of strings");
    texts.push_back(value.is_string() ? value.get<std::string>() : "");
  }
  return texts;
}

std::vector<int64_t> ConfigFields::Indices(std::string_view name, int64_t max) {
  std::vector<int64_t> indices;
  const json* const list = Find(name);
  if (list == nullptr) return indices;
  if (!list->is_array()) RefuseValue(name, *list, "a list of whole numbers");
  for (const json& value : *list) indices.push_back(Whole(value, name, 0, max).value_or(0));
  return indices;
}

std::vector<double> ConfigFields::Positives(std::string_view name) {
  std::vector<double> numbers;
  const json* const list = Find(name);
  if (list == nullptr) return numbers;
  if (!list->is_array()) RefuseValue(name, *list, "a list of numbers");
  for (const json& value : *list) numbers.push_back(Real(value, name).value_or(1));
  return numbers;
}

std::vector<ConfigFields> ConfigFields::Objects(std::string_view name) {
  std::vector<ConfigFields> objects;
  const json* const list = Find(name);
  if (list == nullptr) return objects;
  if (!list->is_array()) RefuseValue(name, *list, "a list of objects");
  for (const json& value : *list) {
    if (!value.is_object()) RefuseValue(name, value, "a list of objects");
    if (!status_.ok()) return {};
    objects.emplace_back(value,
                         prefix_ + std::string(name) + "[" + std::to_string(objects.size()) + "].");
  }
  return objects;
}

const json* ConfigFields::Object(std::string_view name) {
  const json* const value = Find(name);
  if (value == nullptr || value->is_object()) return value;
  RefuseValue(name, *value, "an object");
  return nullptr;
}

}  // namespace plimsoll
