#include "kvcache/model/gguf_reader.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr int64_t kMaxLength = int64_t{1} << 28;  // of a list or string; no header is so long
constexpr int64_t kMaxKept = 1 << 12;  // whole numbers of a list that are kept: one for each layer

enum class ValueType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

// Bytes of one value; 0 for strings and lists, whose length follows.
int64_t WidthOf(ValueType type) {
  switch (type) {
    case ValueType::kUint8:
    case ValueType::kInt8:
    case ValueType::kBool:
      return 1;
    case ValueType::kUint16:
    case ValueType::kInt16:
      return 2;
    case ValueType::kUint32:
    case ValueType::kInt32:
    case ValueType::kFloat32:
      return 4;
    case ValueType::kUint64:
    case ValueType::kInt64:
    case ValueType::kFloat64:
      return 8;
    case ValueType::kString:
    case ValueType::kArray:
      return 0;
  }
  return 0;
}

ValueType ReadValueType(GgufReader& reader, bool in_list) {
  const uint64_t type = reader.Unsigned(4);
  if (type > static_cast<uint64_t>(ValueType::kFloat64)) {
    reader.Fail(BadField("type of value", std::to_string(type), "0 to 12"));
    return ValueType::kUint8;
  }
  if (in_list && static_cast<ValueType>(type) == ValueType::kArray) {
    reader.Fail(absl::InvalidArgumentError("a list of lists: want a list of plain values"));
    return ValueType::kUint8;
  }
  return static_cast<ValueType>(type);
}

int64_t Signed(uint64_t raw, int64_t width) {
  const int shift = static_cast<int>(64 - 8 * width);
  return static_cast<int64_t>(raw << shift) >> shift;
}

// A number beyond 2^63 becomes a floating-point value, so that a reader of counts refuses it.
GgufValue NumberOf(ValueType type, uint64_t raw) {
  switch (type) {
    case ValueType::kFloat32:
      return double{std::bit_cast<float>(static_cast<uint32_t>(raw))};
    case ValueType::kFloat64:
      return std::bit_cast<double>(raw);
    case ValueType::kInt8:
    case ValueType::kInt16:
    case ValueType::kInt32:
    case ValueType::kInt64:
      return Signed(raw, WidthOf(type));
    default:
      if (raw > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return static_cast<double>(raw);
      }
      return static_cast<int64_t>(raw);
  }
}

GgufValue ReadList(GgufReader& reader) {
  const ValueType type = ReadValueType(reader, /*in_list=*/true);
  GgufList list;
  // Whatever is in it, an entry takes a byte at least.
  list.length = reader.Count("length of list", kMaxLength);
  const int64_t width = WidthOf(type);
  if (type == ValueType::kString) {
    for (int64_t i = 0; i < list.length && reader.ok(); ++i) {
      reader.String("length of string", kMaxLength);
    }
    return list;
  }
  if (list.length > kMaxKept || type == ValueType::kFloat32 || type == ValueType::kFloat64) {
    reader.Take(list.length * width);
    return list;
  }
  for (int64_t i = 0; i < list.length && reader.ok(); ++i) {
    const GgufValue value = NumberOf(type, reader.Unsigned(width));
    const int64_t* const whole = std::get_if<int64_t>(&value);
    list.values.push_back(whole != nullptr ? *whole : std::numeric_limits<int64_t>::max());
  }
  return list;
}

}  // namespace

void GgufReader::Fail(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void GgufReader::Name(std::string_view context) { status_ = Annotate(status_, context); }

std::string_view GgufReader::Take(int64_t count) {
  if (!ok()) return "";
  if (count > file_bytes_ - position_) {
    Fail(absl::InvalidArgumentError("the file ends within its header, at byte " +
                                    std::to_string(file_bytes_)));
    return "";
  }
  if (count > std::ssize(head_) - position_) {
    Fail(absl::OutOfRangeError("the header is longer than what was read"));
    return "";
  }
  const std::string_view bytes =
      head_.substr(static_cast<size_t>(position_), static_cast<size_t>(count));
  position_ += count;
  return bytes;
}

uint64_t GgufReader::Unsigned(int64_t width) {
  const std::string_view bytes = Take(width);
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

int64_t GgufReader::Count(std::string_view what, int64_t max) {
  const uint64_t value = Unsigned(8);
  if (!ok()) return 0;
  if (value > static_cast<uint64_t>(max)) {
    Fail(BadField(what, std::to_string(value), "at most " + std::to_string(max)));
    return 0;
  }
  return static_cast<int64_t>(value);
}

std::string_view GgufReader::String(std::string_view what, int64_t max) {
  return Take(Count(what, max));
}

GgufValue ReadGgufValue(GgufReader& reader) {
  const ValueType type = ReadValueType(reader, /*in_list=*/false);
  if (type == ValueType::kArray) return ReadList(reader);
  if (type == ValueType::kString) {
    return std::string(reader.String("length of string", kMaxLength));
  }
  return NumberOf(type, reader.Unsigned(WidthOf(type)));
}

}  // namespace plimsoll
