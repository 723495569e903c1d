// Numbers from the other side of the wire, bounded before they become units.
//
// Each call returns the value, or zero after noting what is wrong; the first fault stays, so a
// reader takes every field and then asks once:
//
//   Bounds bounds;
//   request.prompt_tokens = bounds.TokensIn("prompt_tokens", in.prompt_tokens(), 1);
//   PLIMSOLL_RETURN_IF_ERROR(bounds.status());
//
// Threads: none. Cost: a comparison per field. Errors: InvalidArgument naming the field.
#pragma once

#include <google/protobuf/duration.pb.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/units.h"

namespace plimsoll {

class Bounds {
 public:
  // A whole number in [min, max].
  int64_t NumberIn(const char* field, int64_t value, int64_t min, int64_t max);
  // A real number in [min, max], which NaN never is.
  double RealIn(const char* field, double value, double min, double max);
  // In [min, kMaxTokens].
  Tokens TokensIn(const char* field, int64_t value, int64_t min);
  // Zero or more.
  Blocks BlocksIn(const char* field, int64_t value);
  Bytes BytesIn(const char* field, int64_t value);
  int64_t CountIn(const char* field, int64_t value);
  // In [0, max], with nanoseconds in [0, 10^9).
  Duration DurationIn(const char* field, const google::protobuf::Duration& value, Duration max);
  // At least `min` and at most `max` bytes.
  std::string TextIn(const char* field, std::string value, size_t min, size_t max);

  void Fail(absl::Status status);  // unless something failed before
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

}  // namespace plimsoll
