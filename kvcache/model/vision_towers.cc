#include "kvcache/model/vision_towers.h"

#include "kvcache/model/decoder_parts.h"

namespace plimsoll {
namespace {

constexpr int64_t kMaxPatch = 256;
constexpr int64_t kMaxMerged = 16;  // patches on a side of what a merger joins
constexpr int64_t kMaxVisionLayers = 1024;
constexpr int64_t kMaxVisionWidth = int64_t{1} << 16;

int64_t Matrix(int64_t out, int64_t in) { return out * in + out; }  // with its bias
int64_t Norm(int64_t width) { return 2 * width; }

// Attention with one matrix for q, k and v or three, a plain MLP, two norms; biases everywhere.
int64_t Layer(int64_t hidden, int64_t width) {
  return Matrix(3 * hidden, hidden) + Matrix(hidden, hidden) + Matrix(width, hidden) +
         Matrix(hidden, width) + 2 * Norm(hidden);
}

}  // namespace

int64_t QwenVisionElements(ConfigFields& fields, const ModelConfig& model) {
  const int64_t hidden = fields.Count("hidden_size", kMaxVisionWidth, 1152);
  const int64_t width = fields.Count("intermediate_size", kMaxVisionWidth, 4304);
  const int64_t layers = fields.Count("depth", kMaxVisionLayers, 27);
  const int64_t patch = fields.Count("patch_size", kMaxPatch, 16);
  const int64_t frames = fields.Count("temporal_patch_size", kMaxPatch, 2);
  const int64_t channels = fields.Count("in_channels", kMaxPatch, 3);
  const int64_t positions = fields.Count("num_position_embeddings", kMaxVisionWidth, 2304);
  const int64_t side = fields.Count("spatial_merge_size", kMaxMerged, 2);
  const int64_t out = fields.Count("out_hidden_size", kMaxWidth, model.hidden_size);
  const int64_t merged = hidden * side * side;
  const int64_t merger = Matrix(merged, merged) + Matrix(out, merged);
  const int64_t early = std::ssize(fields.Indices("deepstack_visual_indexes", kMaxVisionLayers));
  if (early > kMaxVisionLayers) {
    fields.Refuse("deepstack_visual_indexes", "a list of layers");
    return 0;
  }
  return layers * Layer(hidden, width) + Matrix(hidden, channels * frames * patch * patch) +
         positions * hidden + Norm(hidden) + merger + early * (Norm(merged) + merger);
}

int64_t GemmaVisionElements(ConfigFields& fields, const ModelConfig& model) {
  const int64_t hidden = fields.Count("hidden_size", kMaxVisionWidth, 1152);
  const int64_t width = fields.Count("intermediate_size", kMaxVisionWidth, 4304);
  const int64_t layers = fields.Count("num_hidden_layers", kMaxVisionLayers, 27);
  const int64_t patch = fields.Count("patch_size", kMaxPatch, 14);
  const int64_t channels = fields.Count("num_channels", kMaxPatch, 3);
  const int64_t side = fields.Count("image_size", kMaxVisionWidth, 896) / patch;
  return layers * Layer(hidden, width) + Matrix(hidden, channels * patch * patch) +
         side * side * hidden + Norm(hidden) + hidden * model.hidden_size + hidden;
}

}  // namespace plimsoll
