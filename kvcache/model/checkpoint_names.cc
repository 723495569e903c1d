#include "kvcache/model/checkpoint_names.h"

#include <array>
#include <charconv>

namespace plimsoll {
namespace {

constexpr std::array<std::string_view, 4> kLeads = {"model.", "language_model.", "transformer.",
                                                    "text_model."};

// The end of a part's name, and what the tensor's own has in its place.
struct PartEnding {
  std::string_view ending;
  std::string_view of;
  bool packed = false;
};
constexpr std::array kPartEndings = {
    PartEnding{".qweight", ".weight", true},
    PartEnding{".weight_packed", ".weight", true},
    PartEnding{"_blocks", "", true},
    PartEnding{".qzeros", ".weight"},
    PartEnding{".scales", ".weight"},
    PartEnding{".g_idx", ".weight"},
    PartEnding{".weight_scale_inv", ".weight"},
    PartEnding{".weight_scale", ".weight"},
    PartEnding{".weight_scale_2", ".weight"},
    PartEnding{".weight_global_scale", ".weight"},
    PartEnding{".weight_zero_point", ".weight"},
    PartEnding{".weight_g_idx", ".weight"},
    PartEnding{".weight_shape", ".weight"},
    PartEnding{".input_scale", ".weight"},
    PartEnding{".input_global_scale", ".weight"},
    PartEnding{".k_scale", ".weight"},
    PartEnding{".v_scale", ".weight"},
    PartEnding{".output_scale", ".weight"},
    PartEnding{".SCB", ".weight"},
    PartEnding{".weight_format", ".weight"},
    PartEnding{".absmax", ""},
    PartEnding{".quant_map", ""},
    PartEnding{".nested_absmax", ""},
    PartEnding{".nested_quant_map", ""},
    PartEnding{".quant_state.bitsandbytes__nf4", ""},
    PartEnding{".quant_state.bitsandbytes__fp4", ""},
    PartEnding{"_scales", ""},
    PartEnding{"_scale_inv", ""},
};

struct Extra {
  std::string_view words;
  std::string_view part;
};
// By how a name begins.
constexpr std::array kBeginnings = {
    Extra{"visual.", "vision tower"},
    Extra{"vision", "vision tower"},
    Extra{"multi_modal_projector", "vision tower"},
    Extra{"mm_projector", "vision tower"},
    Extra{"embed_vision", "vision tower"},
    Extra{"patch_merger", "vision tower"},
    Extra{"audio", "audio tower"},
    Extra{"embed_audio", "audio tower"},
    Extra{"mtp", "prediction block"},
};
// By how it ends.
constexpr std::array kEndings = {
    Extra{"inv_freq", "rotary buffers"},
    Extra{".attn.bias", "causal masks"},
    Extra{".attn.masked_bias", "causal masks"},
    Extra{".attention.bias", "causal masks"},
    Extra{".attention.masked_bias", "causal masks"},
};

// A layer behind the last: "layers.61." of a model with 61.
bool IsLayerBehind(std::string_view name, int64_t layers) {
  constexpr std::string_view kLayers = "layers.";
  if (!name.starts_with(kLayers)) return false;
  name.remove_prefix(kLayers.size());
  int64_t layer = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  return error == std::errc() && layer >= layers;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::string_view WithoutLead(std::string_view name) {
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view lead : kLeads) {
      if (!name.starts_with(lead)) continue;
      name.remove_prefix(lead.size());
      found = true;
    }
  }
  return name;
}

std::optional<MatrixPart> PartOf(std::string_view name) {
  for (const PartEnding& part : kPartEndings) {
    if (!name.ends_with(part.ending)) continue;
    const std::string_view stem = name.substr(0, name.size() - part.ending.size());
    return MatrixPart{std::string(stem) + std::string(part.of), part.packed};
  }
  return std::nullopt;
}

std::optional<std::string_view> KnownExtra(std::string_view name, int64_t layers) {
  if (IsLayerBehind(name, layers)) return "prediction block";
  for (const Extra& extra : kBeginnings) {
    if (name.starts_with(extra.words)) return extra.part;
  }
  for (const Extra& extra : kEndings) {
    if (name.ends_with(extra.words)) return extra.part;
  }
  return std::nullopt;
}

std::string WithoutNumbers(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool in_word = i > 0 && name[i - 1] != '.' && !IsDigit(name[i - 1]);
    if (!IsDigit(name[i]) || in_word) {
      out += name[i];
    } else if (out.empty() || out.back() != '*') {
      out += '*';
    }
  }
  return out;
}

}  // namespace plimsoll
