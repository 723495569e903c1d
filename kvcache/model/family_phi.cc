// Phi-3 and Phi-4: q, k and v in one matrix, gate and up in another.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"

namespace plimsoll {

void ReadPhi3(ConfigFields& fields, ModelConfig& model) {
  ReadDecoder(fields, {.norm_epsilon = 1e-5}, model);
  AddFusedAttention(model);
  AddFusedGatedMlp(model);
  AddLayerNorms(model, {"input_layernorm", "post_attention_layernorm"});
  SetWindow(model, SlidingLayers(fields, model).value_or(AllLayers(model)),
            fields.OptionalCount("sliding_window", kMaxContext));
}

}  // namespace plimsoll
