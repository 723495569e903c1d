// Adds tensors to a model: under one prefix, for one list of layers. Of a tensor's dimensions at
// most one divides over GPUs.
//
// A prefix with "{layer}" stands once for each of the layers, and adds nothing where there are
// none, so that a family may describe kinds of layers that a file does not have.
//
// Threads: none. Cost: O(layers) for each tensor. Errors: none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kvcache/model/model_config.h"

namespace plimsoll {

using LayerList = std::vector<int32_t>;

class TensorList {
 public:
  // `model` outlives the list.
  TensorList(ModelConfig& model, std::string prefix, LayerList layers = {});

  // Any tensor, by its full name after the prefix.
  void Add(std::string_view name, TensorRole role, const std::vector<Extent>& shape);
  // "<name>.weight" [out, in] and, with a bias, "<name>.bias" [out].
  void Matrix(std::string_view name, const Extent& out, const Extent& in, bool bias = false);
  // "<name>.weight" [width] and, with a bias, "<name>.bias" [width].
  void Norm(std::string_view name, const Extent& width, bool bias = false);
  // A tensor that each of `count` experts has, `active` of which a token uses. The name has
  // "{expert}" where experts are stored one by one.
  void Expert(std::string_view name, const std::vector<Extent>& shape, int64_t count,
              int64_t active, TensorRole role = TensorRole::kExpert);
  // gate, up and down, `width` wide.
  void GatedMlp(std::string_view prefix, int64_t width, bool bias = false);
  // What is added from here on is needed after the layers.
  void AfterLayers() { after_layers_ = true; }

 private:
  ModelConfig& model_;
  std::string prefix_;
  LayerList layers_;
  bool after_layers_ = false;
};

}  // namespace plimsoll
