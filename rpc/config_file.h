// A server's configuration file: plimsoll.v1.ServerConfig as JSON, if it starts with '{', or in
// protobuf's text format, where '#' begins a comment.
//
// Threads: pure but for reading the file. Cost: that. Errors: InvalidArgument naming the file, and
// the line where the format lets us know it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace plimsoll {

// A field that is set, with its value, or values if it is repeated, as text.
struct Setting {
  std::string name;
  std::vector<std::string> values;

  friend bool operator==(const Setting&, const Setting&) = default;
};

// In the order of the message.
absl::StatusOr<std::vector<Setting>> ReadConfigFile(const std::string& path);

// The message that has these settings, as JSON. InvalidArgument for a name that is no field, or a
// value that is none of it.
absl::StatusOr<std::string> ConfigJson(const std::vector<Setting>& settings);

// Of all fields.
std::vector<std::string> ConfigNames();

}  // namespace plimsoll
