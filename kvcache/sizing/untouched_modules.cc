#include "kvcache/sizing/untouched_modules.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace plimsoll {
namespace {

// The layers of a module that a name covers.
struct Cover {
  bool all = false;
  int32_t layer = -1;
};

std::string_view TakePart(std::string_view& rest) {
  const std::string_view part = rest.substr(0, rest.find('.'));
  rest.remove_prefix(std::min(part.size() + 1, rest.size()));
  return part;
}

int64_t Parts(std::string_view name) { return std::count(name.begin(), name.end(), '.') + 1; }

std::optional<int32_t> LayerFrom(std::string_view part) {
  int32_t layer = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), layer);
  if (error != std::errc() || end != part.data() + part.size()) return std::nullopt;
  return layer;
}

bool Matches(std::string_view part, std::string_view pattern) {
  if (!pattern.ends_with('*')) return part == pattern;
  pattern.remove_suffix(1);
  return part.starts_with(pattern);
}

// Whether the name's parts are those that `module` begins with.
std::optional<Cover> CoverFrom(std::string_view module, std::string_view name) {
  Cover cover{.all = true};
  while (!name.empty()) {
    const std::string_view pattern = TakePart(name);
    const std::string_view part = TakePart(module);
    if (Matches(part, pattern)) continue;
    const std::optional<int32_t> layer = LayerFrom(pattern);
    if (part != "{layer}" || !layer) return std::nullopt;
    cover = {.all = false, .layer = *layer};
  }
  return cover;
}

std::optional<Cover> CoverOf(std::string_view module, std::string_view name) {
  const int64_t longer = Parts(module) - Parts(name);
  if (name.empty() || longer < 0) return std::nullopt;
  if (const auto whole = CoverFrom(module, name)) return whole;
  for (int64_t i = 0; i < longer; ++i) TakePart(module);
  return CoverFrom(module, name);
}

}  // namespace

int64_t TakeNamed(const TensorSpec& tensor, std::span<const std::string> names,
                  std::vector<int32_t>& layers) {
  std::string_view module = tensor.name;
  if (module.ends_with(".weight")) module.remove_suffix(7);
  const int64_t before = std::ssize(layers);
  for (const std::string& name : names) {
    const std::optional<Cover> cover = CoverOf(module, name);
    if (cover && cover->all) {
      layers.clear();
      return before;
    }
    if (cover) layers.erase(std::remove(layers.begin(), layers.end(), cover->layer), layers.end());
  }
  return before - std::ssize(layers);
}

}  // namespace plimsoll
