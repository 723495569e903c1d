// Reads how a model turns positions into rotations: rope_theta with rope_scaling, or the newer
// rope_parameters that holds both.
//
// Threads: none. Cost: O(fields). Errors: in the ConfigFields given.
#pragma once

#include "kvcache/model/config_fields.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

// `default_theta` is the architecture's, for a file that names none.
RotaryConfig ReadRotary(ConfigFields& fields, Tokens max_context, int64_t head_dim,
                        double default_theta);

}  // namespace plimsoll
