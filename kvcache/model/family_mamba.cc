// Mamba and Falcon Mamba: recurrent layers only, so that a sequence costs the same however long it
// is, and no field bounds its length.
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"
#include "kvcache/model/mamba_parts.h"

namespace plimsoll {
namespace {

constexpr int64_t kUnbounded = int64_t{1} << 20;  // tokens, as far as plans look

int64_t DefaultRank(int64_t hidden) { return CeilDivide(hidden, 16); }

}  // namespace

void ReadMamba(ConfigFields& fields, ModelConfig& model) {
  ReadWidths(fields, {.context = kUnbounded, .tied_embeddings = true}, model);
  const int64_t hidden = model.hidden_size;
  const int64_t expanded = fields.Count("expand", kMaxExpand, 2) * hidden;
  const bool derived = !fields.Has("time_step_rank") || fields.IsText("time_step_rank");
  const Mamba1 mamba{
      .inner = fields.Count("intermediate_size", kMaxWidth, expanded),
      .state = fields.Count("state_size", kMaxHeads, 16),
      .kernel = fields.Count("conv_kernel", kMaxKernel, 4),
      .rank = derived ? DefaultRank(hidden) : fields.Count("time_step_rank", kMaxWidth),
      .conv_bias = fields.Flag("use_conv_bias", true),
      .bias = fields.Flag("use_bias", false)};
  if (fields.IsText("time_step_rank") && fields.Text("time_step_rank") != "auto") {
    fields.Refuse("time_step_rank", "a whole number or auto");
  }
  AddEnds(model, {.embedding = "backbone.embeddings", .norm = "backbone.norm_f"});
  TensorList layer(model, "backbone.layers.{layer}.", AllLayers(model));
  layer.Norm("norm", hidden);
  AddMamba1(model, layer, "mixer.", mamba);
  KeepStateIn(model, AllLayers(model), StateOf(mamba));
}

}  // namespace plimsoll
