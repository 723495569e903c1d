#include "rpc/config_file.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "kvcache/base/errors.h"
#include "plimsoll/v1/config.pb.h"

namespace plimsoll {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// The first thing that is wrong, and the line it is in.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
#if GOOGLE_PROTOBUF_VERSION < 4022000
  void AddError(int line, int, const std::string& message) override { Take(line, message); }
#else
  void RecordError(int line, int, absl::string_view message) override {
    Take(line, std::string(message));
  }
#endif
  const std::string& text() const { return text_; }

 private:
  void Take(int line, const std::string& message) {
    if (text_.empty()) text_ = "line " + std::to_string(line + 1) + ": " + message;
  }
  std::string text_;
};

bool IsJson(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string::npos && text[first] == '{';
}

// What a parser says of a file, without the file's own control characters.
std::string Plain(std::string message) {
  const auto is_control = [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; };
  std::replace_if(message.begin(), message.end(), is_control, '?');
  return message;
}

absl::Status ParseConfig(const std::string& text, v1::ServerConfig* config) {
  if (IsJson(text)) {
    const auto parsed = google::protobuf::util::JsonStringToMessage(text, config);
    if (parsed.ok()) return absl::OkStatus();
    const std::string message(parsed.message());  // and the place, drawn in further lines
    return absl::InvalidArgumentError(Plain(message.substr(0, message.find('\n'))));
  }
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFromString(text, config)) return absl::OkStatus();
  return absl::InvalidArgumentError(Plain(error.text()));
}

std::string ValueOf(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(reflection.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return absl::StrFormat("%.17g", reflection.GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &field) ? "true" : "false";
    default:
      return reflection.GetString(message, &field);
  }
}

Setting SettingOf(const Message& message, const FieldDescriptor& field) {
  Setting setting{.name = field.name(), .values = {}};
  if (!field.is_repeated()) {
    setting.values.push_back(ValueOf(message, field));
    return setting;
  }
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    setting.values.push_back(reflection.GetRepeatedString(message, &field, i));
  }
  return setting;
}

bool IsUtf8(const std::string& text) {
  // Writing leaves out what is none.
  using Json = nlohmann::json;
  return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::ignore)) == text;
}

// What the text format lets pass, and JSON could not say again.
absl::Status CheckUtf8(const std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    for (const std::string& value : setting.values) {
      if (!IsUtf8(value)) return BadField(setting.name, Excerpt(value), "UTF-8");
    }
  }
  return absl::OkStatus();
}

// The text format knows numbers that are none, and no setting does.
absl::Status CheckFinite(const Message& message,
                         const std::vector<const FieldDescriptor*>& fields) {
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE) continue;
    if (std::isfinite(message.GetReflection()->GetDouble(message, field))) continue;
    return BadField(field->name(), ValueOf(message, *field), "a finite number");
  }
  return absl::OkStatus();
}

// Whether `text` is a value of the field.
bool Set(Message& message, const FieldDescriptor& field, const std::string& text) {
  const Reflection& reflection = *message.GetReflection();
  int64_t number = 0;
  double real = 0;
  bool truth = false;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT64:
      if (!absl::SimpleAtoi(text, &number)) return false;
      reflection.SetInt64(&message, &field, number);
      return true;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      if (!absl::SimpleAtod(text, &real)) return false;
      reflection.SetDouble(&message, &field, real);
      return true;
    case FieldDescriptor::CPPTYPE_BOOL:
      if (!absl::SimpleAtob(text, &truth)) return false;
      reflection.SetBool(&message, &field, truth);
      return true;
    default:
      if (field.is_repeated()) {
        reflection.AddString(&message, &field, text);
      } else {
        reflection.SetString(&message, &field, text);
      }
      return true;
  }
}

}  // namespace

absl::StatusOr<std::vector<Setting>> ReadConfigFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  in.peek();  // a folder opens, but cannot be read: found out here, where the stream throws nothing
  if (!in.good() && !in.eof()) return absl::InvalidArgumentError(path + ": cannot be read");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  v1::ServerConfig config;
  const absl::Status parsed = ParseConfig(text, &config);
  if (!parsed.ok()) return Annotate(parsed, path);
  std::vector<const FieldDescriptor*> set;
  config.GetReflection()->ListFields(config, &set);
  const absl::Status finite = CheckFinite(config, set);
  if (!finite.ok()) return Annotate(finite, path);
  std::vector<Setting> settings;
  for (const FieldDescriptor* field : set) settings.push_back(SettingOf(config, *field));
  const absl::Status text_is_utf8 = CheckUtf8(settings);
  if (!text_is_utf8.ok()) return Annotate(text_is_utf8, path);
  return settings;
}

absl::StatusOr<std::string> ConfigJson(const std::vector<Setting>& settings) {
  v1::ServerConfig config;
  for (const Setting& setting : settings) {
    const FieldDescriptor* const field =
        v1::ServerConfig::descriptor()->FindFieldByName(setting.name);
    if (field == nullptr) return absl::InvalidArgumentError("no field " + setting.name);
    for (const std::string& value : setting.values) {
      if (!Set(config, *field, value))
        return BadField(setting.name, Excerpt(value), field->type_name());
    }
  }
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto printed = google::protobuf::util::MessageToJsonString(config, &json, options);
  if (!printed.ok()) return absl::InternalError(std::string(printed.message()));
  return json;
}

std::vector<std::string> ConfigNames() {
  std::vector<std::string> names;
  const google::protobuf::Descriptor& message = *v1::ServerConfig::descriptor();
  for (int i = 0; i < message.field_count(); ++i) names.push_back(message.field(i)->name());
  return names;
}

}  // namespace plimsoll
