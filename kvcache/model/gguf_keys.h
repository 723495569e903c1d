// The metadata of a GGUF file, checked as it is read.
//
// Keys are those after the architecture's name: "block_count" is "llama.block_count". The first
// thing that is wrong is kept in status(); reads after that return the smallest harmless value.
//
// Threads: none. Cost: a look-up per key. Errors: status(), InvalidArgument naming key, value and
// what is wanted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "kvcache/model/gguf_header.h"

namespace plimsoll {

class GgufKeys {
 public:
  // `header` outlives the reader.
  GgufKeys(const GgufHeader& header, std::string architecture)
      : header_(header), prefix_(std::move(architecture) + ".") {}

  bool Has(std::string_view key) const { return Find(key) != nullptr; }
  bool IsList(std::string_view key) const;
  // A whole number in [1, max]; wrong where absent and there is no fallback.
  int64_t Count(std::string_view key, int64_t max);
  int64_t Count(std::string_view key, int64_t max, int64_t fallback);
  // A whole number in [0, max].
  int64_t Index(std::string_view key, int64_t max, int64_t fallback);
  // One number in [0, max] for each layer, from a list or from one number for all.
  std::vector<int64_t> PerLayer(std::string_view key, int64_t layers, int64_t max);

  // Records that `key` is wrong; the first record stays.
  void Refuse(std::string_view key, std::string_view wanted);
  void Fail(absl::Status status);  // OK is no failure
  const absl::Status& status() const { return status_; }

 private:
  const GgufValue* Find(std::string_view key) const;
  int64_t Whole(std::string_view key, int64_t min, int64_t max, std::optional<int64_t> fallback);

  const GgufHeader& header_;
  std::string prefix_;
  absl::Status status_;
};

// The text under a whole key, "general.architecture"; nullopt where it is not there or no text.
std::optional<std::string> GgufText(const GgufHeader& header, const std::string& key);
// The same for a whole number.
std::optional<int64_t> GgufNumber(const GgufHeader& header, const std::string& key);

}  // namespace plimsoll
