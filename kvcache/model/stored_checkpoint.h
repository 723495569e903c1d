// What the files of a checkpoint hold, from their headers alone, and where that is not what the
// model's configuration says.
//
// Threads: a value. Cost: a few strings. Errors: none; see model_folder.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcache/base/element_type.h"
#include "kvcache/base/units.h"

namespace plimsoll {

// Tensors of one kind, counted together.
struct StoredTotal {
  std::string name = "";  // of the type, "BF16" or "Q4_K"
  int64_t tensors = 0;
  int64_t elements = 0;  // as the files count them: 8 numbers of 4 bits packed in an I32 are one
  Bytes bytes = Bytes(0);
};

struct HeaderDifference {
  enum class Kind : uint8_t {
    kLeftOut,      // stored, and not needed to serve the language model: a vision tower
    kStoredTwice,  // a head that the model shares with its embedding
    kMissing,      // the model needs it and no file has it
    kUnexpected,   // no part of the model, nor of what is known to stand beside it
    kOtherShape,   // other extents than the configuration gives
    kOtherType,    // another type than the configuration gives
  };
  Kind kind;
  std::string what;  // the part, or the first tensor of such a name, with what differs
  int64_t tensors = 0;
  int64_t elements = 0;
  Bytes bytes = Bytes(0);  // as stored; of what is missing, 0
};

// "left out", "stored twice", "missing", "unexpected", "other shape", "other type"
std::string NameOf(HeaderDifference::Kind kind);

struct StoredCheckpoint {
  std::string format;     // "safetensors", "GGUF"
  std::string stored_as;  // a GGUF file's own name for its mix, "Q4_K_M"; else empty
  // The engine's type of about the same width, where `stored_as` is not empty.
  std::optional<ElementType> width = std::nullopt;
  int64_t files = 0;
  StoredTotal all;                   // of all that the files hold; its name is empty
  std::vector<StoredTotal> by_type;  // the same by type, sorted by name
  StoredTotal loaded;                // of what serving the language model loads, scales included
  // Unique parameters of the language model: as the headers tell, and as the configuration does.
  int64_t parameters = 0;
  int64_t expected_parameters = 0;
  std::vector<HeaderDifference> differences;

  // Nothing is missing, unexpected or of another shape or type; what is left out is no matter.
  bool agrees() const;
};

}  // namespace plimsoll
