// What other calculators answer, by the formulas that they publish, each with its place.
//
// They are written down here as they stand, faults included, and only to be compared with. Each
// reads what it reads of a config.json and takes its own defaults for the rest.
//
// Threads: pure. Cost: none. Errors: nullopt where a calculator has no answer, or where what it
// would answer could not be established.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace plimsoll {

// The fields that these calculators look at, under the names that Llama's file gives them.
struct CalculatorFields {
  double hidden = 0, layers = 0, heads = 0, kv_heads = 0, vocabulary = 0;
  std::optional<double> head_dim, intermediate, context;
  std::optional<double> latent, rope_dim;  // of latent attention
  bool is_gpt2 = false;                    // whose fields have names of their own
  bool is_hybrid = false;                  // some layers are recurrent
  bool multi_query = false;                // one kv head, in a field of that name and no other
  // What those have that load the model first.
  double parameters = 0, head_parameters = 0, largest_layer = 0;
};

struct Calculator {
  std::string_view name, formula, source;
  std::optional<double> (*answer)(const CalculatorFields&);
};

std::span<const Calculator> WeightCalculators();    // bytes in 16 bits
std::span<const Calculator> KvCalculators();        // bytes of one token in 16 bits
std::span<const Calculator> TrainingCalculators();  // states of one GPU, mixed precision, Adam

}  // namespace plimsoll
