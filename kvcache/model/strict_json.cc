#include "kvcache/model/strict_json.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

using nlohmann::json;

// Builds the value and stops at the first thing that is not strict JSON.
class Builder {
 public:
  using number_integer_t = json::number_integer_t;
  using number_unsigned_t = json::number_unsigned_t;
  using number_float_t = json::number_float_t;
  using string_t = json::string_t;
  using binary_t = json::binary_t;

  bool null() { return Add(nullptr); }
  bool boolean(bool value) { return Add(value); }
  bool number_integer(number_integer_t value) { return Add(value); }
  bool number_unsigned(number_unsigned_t value) { return Add(value); }
  bool number_float(number_float_t value, const string_t&) { return Add(value); }
  bool string(string_t& value) { return Add(std::move(value)); }
  bool binary(binary_t&) { return Fail("binary data"); }  // no JSON text has any
  bool start_object(size_t) { return Open(json::object()); }
  bool start_array(size_t) { return Open(json::array()); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }

  bool key(string_t& name) {
    const auto [slot, added] = open_.back()->get_ref<json::object_t&>().emplace(name, nullptr);
    if (!added) return Fail("duplicate key \"" + Excerpt(name) + "\"");
    value_of_key_ = &slot->second;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) {
    error_position_ = position;
    return Fail("not JSON");
  }

  json& root() { return root_; }
  const std::string& error() const { return error_; }
  size_t error_position() const { return error_position_; }  // 0: the message says where

 private:
  json* Place(json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    if (value_of_key_ != nullptr)
      return &(*std::exchange(value_of_key_, nullptr) = std::move(value));
    return &open_.back()->get_ref<json::array_t&>().emplace_back(std::move(value));
  }
  bool Add(json value) {
    Place(std::move(value));
    return true;
  }
  bool Open(json empty) {
    if (open_.size() == kMaxJsonDepth) {
      return Fail("nested deeper than " + std::to_string(kMaxJsonDepth));
    }
    open_.push_back(Place(std::move(empty)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }
  bool Fail(std::string why) {
    error_ = std::move(why);
    return false;
  }

  json root_;
  std::vector<json*> open_;  // containers being filled, outermost first
  json* value_of_key_ = nullptr;
  std::string error_;
  size_t error_position_ = 0;
};

constexpr std::string_view kSpace = " \t\r\n";

// The bare word for a number that JSON lacks which starts at `at`, if it stands where a value
// ends; "" otherwise.
std::string_view BareWordAt(std::string_view text, size_t at) {
  constexpr std::array<std::string_view, 3> kWords = {"Infinity", "-Infinity", "NaN"};
  for (const std::string_view word : kWords) {
    if (text.substr(at, word.size()) != word) continue;
    const size_t next = text.find_first_not_of(kSpace, at + word.size());
    if (next == text.npos || text[next] == ',' || text[next] == ']' || text[next] == '}') {
      return word;
    }
  }
  return "";
}

// The index just past the string that opens at `quote`.
size_t EndOfString(std::string_view text, size_t quote) {
  size_t i = quote + 1;
  while (i < text.size() && text[i] != '"') i += text[i] == '\\' ? 2 : 1;
  return std::min(i + 1, text.size());
}

// `text` with quotes around each bare Infinity, -Infinity and NaN outside of strings.
std::string QuoteBareWords(std::string_view text) {
  std::string out;
  size_t copied = 0;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '"') {
      i = EndOfString(text, i);
      continue;
    }
    const std::string_view word = BareWordAt(text, i);
    if (!word.empty()) {
      out.append(text, copied, i - copied).append("\"").append(word).append("\"");
      copied = i + word.size();
    }
    i += std::max<size_t>(word.size(), 1);
  }
  return out.append(text, copied);
}

std::string LineAndColumn(std::string_view text, size_t position) {
  const std::string_view before = text.substr(0, position == 0 ? 0 : position - 1);
  const size_t line_start = before.rfind('\n') + 1;  // 0 where there is none
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  return "line " + std::to_string(line) + ", column " +
         std::to_string(before.size() - line_start + 1);
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text) {
  if (text.size() > kMaxJsonBytes) {
    return absl::InvalidArgumentError("longer than " + std::to_string(kMaxJsonBytes) + " bytes");
  }
  const std::string quoted = QuoteBareWords(text);
  Builder builder;
  if (json::sax_parse(quoted, &builder)) return std::move(builder.root());
  if (builder.error_position() == 0) return absl::InvalidArgumentError(builder.error());
  return absl::InvalidArgumentError(builder.error() + " at " +
                                    LineAndColumn(quoted, builder.error_position()));
}

}  // namespace plimsoll
