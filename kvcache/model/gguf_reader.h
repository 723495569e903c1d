// Reads the values of a GGUF header from the front of a file.
//
// The first thing that is wrong is kept in status(); reads after that return zeros. Where the bytes
// at hand end before the file does, that is OutOfRange: the caller reads more and begins again.
//
// Threads: none. Cost: O(bytes read); lists that are long are skipped. Errors: status().
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "kvcache/model/gguf_header.h"

namespace plimsoll {

class GgufReader {
 public:
  // `head` is the beginning of a file of `file_bytes`, and outlives the reader.
  GgufReader(std::string_view head, int64_t file_bytes) : head_(head), file_bytes_(file_bytes) {}

  const absl::Status& status() const { return status_; }
  bool ok() const { return status_.ok(); }
  int64_t position() const { return position_; }
  void Fail(absl::Status status);       // records what is wrong; the first record stays
  void Name(std::string_view context);  // puts `context` before the record

  std::string_view Take(int64_t count);                         // the next bytes
  uint64_t Unsigned(int64_t width);                             // of 1 to 8 bytes
  int64_t Count(std::string_view what, int64_t max);            // 8 bytes, in [0, max]
  std::string_view String(std::string_view what, int64_t max);  // at most `max` long

 private:
  std::string_view head_;
  int64_t file_bytes_;
  int64_t position_ = 0;
  absl::Status status_;
};

// A value with its type before it.
GgufValue ReadGgufValue(GgufReader& reader);

}  // namespace plimsoll
