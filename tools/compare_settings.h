// What the arguments of --compare mean, for plans of inference and of training alike: a model (a
// folder or file) or settings laid over the options beside it, "weights=int4,kv=fp8"; and how two
// figures differ.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace plimsoll {

// A model, rather than settings: there is such a file, or no "=" in it.
bool NamesModel(const std::string& argument);

// Parses the settings as options of `parser`. A list is written with "+" between its items, since a
// comma begins the next setting. InvalidArgument where a setting is empty or no option.
absl::Status ParseSettings(const std::string& settings, CLI::App& parser);

// What differs between two figures, in percent of the first: "+12.5%"; empty where nothing does.
std::string DifferenceInPercent(int64_t first, int64_t other);

}  // namespace plimsoll
