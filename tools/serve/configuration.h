// What a server is to do, from the command line, the environment and a file, in this order.
//
// Everything becomes one command line again, which is parsed as one: a file's value is checked as
// if it had been typed. An option that is given hides those that exclude it in what comes later.
//
// Threads: pure but for the environment and the file. Cost: a parse. Errors: InvalidArgument, one
// line, naming the file and line or the option.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/config_file.h"
#include "tools/serve/serve_arguments.h"

namespace plimsoll {

// Declares the options of `serve` and binds them to what they set.
using ServeOptionsAdder = std::function<void(CLI::App&, ServeText&)>;

struct Configured {
  ServeText text;
  std::vector<Setting> effective;  // defaults included, sorted by name
};

// `command` is `serve` as it was parsed; `file` is empty for none.
absl::StatusOr<Configured> Configure(const CLI::App& command, const ServeOptionsAdder& add,
                                     const std::string& file);

// What differs: the settings that changed, "name: old -> new" in text.
std::vector<std::pair<std::string, std::string>> ChangesBetween(const std::vector<Setting>& before,
                                                                const std::vector<Setting>& after);

}  // namespace plimsoll
