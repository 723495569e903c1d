// The fields of one object of a configuration, checked as they are read.
//
// The first thing that is wrong is kept in status(); reads after that return the smallest harmless
// value (1, 0, false), so a reader asks for all its fields and looks at status() once. A field
// that is absent or null takes the fallback, or is wrong where there is none.
//
// Threads: none. Cost: a look-up per field. Errors: status(), InvalidArgument naming field, value
// and what is wanted.
//
// This header shows nlohmann::json, so it is private to the library and not installed.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace plimsoll {

class ConfigFields {
 public:
  // `object` outlives the reader. `prefix` stands before names in messages: "rope_scaling.".
  explicit ConfigFields(const nlohmann::json& object, std::string prefix = "");

  // The file may spell `name` so as well: reads of `name` find it, and messages use the file's own
  // word. Wrong where both are there with different values.
  void Alias(std::string_view name, std::string_view spelling);

  // Whether the field is there and not null.
  bool Has(std::string_view name) const;
  bool IsNull(std::string_view name) const;  // there, and null
  bool IsList(std::string_view name) const;
  bool IsText(std::string_view name) const;
  bool IsMinusOne(std::string_view name) const;

  // A whole number in [1, max].
  int64_t Count(std::string_view name, int64_t max);
  int64_t Count(std::string_view name, int64_t max, int64_t fallback);
  std::optional<int64_t> OptionalCount(std::string_view name, int64_t max);
  // Absent: `fallback`. Null: none. For fields whose default is not none.
  std::optional<int64_t> CountOrNull(std::string_view name, int64_t max, int64_t fallback);
  // A whole number in [0, max].
  int64_t Index(std::string_view name, int64_t max, int64_t fallback);

  double Positive(std::string_view name, double fallback);  // finite and > 0
  bool Flag(std::string_view name, bool fallback);
  std::optional<std::string> Text(std::string_view name);
  std::vector<std::string> Texts(std::string_view name);  // empty where absent
  std::vector<int64_t> Indices(std::string_view name, int64_t max);
  std::vector<double> Positives(std::string_view name);
  // The objects of a list, with the names they have in messages: "block_configs[3].".
  std::vector<ConfigFields> Objects(std::string_view name);

  // The object under `name`, or nullptr where absent; wrong if it is something else.
  const nlohmann::json* Object(std::string_view name);

  // Records that `name` is wrong; the first record stays.
  void Refuse(std::string_view name, std::string_view wanted);
  void Fail(absl::Status status);  // OK is no failure
  const absl::Status& status() const { return status_; }

 private:
  const nlohmann::json* Find(std::string_view name) const;  // nullptr where absent or null
  std::string Spelled(std::string_view name) const;         // as the file does, or would
  std::optional<int64_t> Whole(const nlohmann::json& value, std::string_view name, int64_t min,
                               int64_t max);
  std::optional<double> Real(const nlohmann::json& value, std::string_view name);
  void RefuseValue(std::string_view name, const nlohmann::json& value, std::string_view wanted);

  const nlohmann::json& object_;
  std::string prefix_;
  std::vector<std::pair<std::string, std::string>> aliases_;  // name, spelling
  absl::Status status_;
};

}  // namespace plimsoll
