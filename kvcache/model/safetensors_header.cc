#include "kvcache/model/safetensors_header.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/strict_json.h"

namespace plimsoll {
namespace {

using Json = nlohmann::json;

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

struct DtypeRow {
  std::string_view name;
  int bits;
  std::optional<ElementType> element;
};
constexpr std::array kDtypes = {
    DtypeRow{"F32", 32, ElementType::kFp32},  DtypeRow{"F16", 16, ElementType::kFp16},
    DtypeRow{"BF16", 16, ElementType::kBf16}, DtypeRow{"F64", 64, std::nullopt},
    DtypeRow{"I64", 64, std::nullopt},        DtypeRow{"U64", 64, std::nullopt},
    DtypeRow{"I32", 32, std::nullopt},        DtypeRow{"U32", 32, std::nullopt},
    DtypeRow{"I16", 16, std::nullopt},        DtypeRow{"U16", 16, std::nullopt},
    DtypeRow{"I8", 8, std::nullopt},          DtypeRow{"U8", 8, std::nullopt},
    DtypeRow{"BOOL", 8, std::nullopt},        DtypeRow{"F8_E4M3", 8, std::nullopt},
    DtypeRow{"F8_E5M2", 8, std::nullopt},     DtypeRow{"F8_E8M0", 8, std::nullopt},
    DtypeRow{"F4", 4, std::nullopt},
};

const DtypeRow* RowOf(std::string_view dtype) {
  const auto* row = std::find_if(kDtypes.begin(), kDtypes.end(),
                                 [&](const DtypeRow& each) { return each.name == dtype; });
  return row == kDtypes.end() ? nullptr : row;
}

// Values are quoted in messages; a hostile one must not fill the screen, nor act on it.
std::string Shown(const Json& value) {
  return Excerpt(value.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace));
}

// An integer in [0, 2^63), the only kind of number that the header holds.
std::optional<int64_t> CountIn(const Json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > INT64_MAX) return std::nullopt;
  return value.get<int64_t>();
}

absl::StatusOr<std::vector<int64_t>> CountsIn(const Json& tensor, const char* field) {
  const auto found = tensor.find(field);
  if (found == tensor.end()) return absl::InvalidArgumentError(std::string(field) + ": missing");
  const std::string wanted = "a list of integers from 0 to 2^63-1";
  if (!found->is_array()) return BadField(field, Shown(*found), wanted);
  std::vector<int64_t> counts;
  for (const Json& each : *found) {
    const std::optional<int64_t> count = CountIn(each);
    if (!count) return BadField(field, Shown(*found), wanted);
    counts.push_back(*count);
  }
  return counts;
}

absl::StatusOr<std::string> DtypeIn(const Json& tensor) {
  const auto found = tensor.find("dtype");
  if (found == tensor.end()) return absl::InvalidArgumentError("dtype: missing");
  if (!found->is_string() || !BitsOfDtype(found->get_ref<const std::string&>())) {
    return BadField("dtype", Shown(*found), "a type of the safetensors format, such as BF16");
  }
  return found->get<std::string>();
}

// Bytes that shape and type call for; nullopt when they exceed int64_t or end inside a byte.
std::optional<int64_t> BytesFor(const std::vector<int64_t>& shape, int bits) {
  int64_t elements = 1;
  for (const int64_t extent : shape) {
    const std::optional<int64_t> product = CheckedProduct({elements, extent});
    if (!product) return std::nullopt;
    elements = *product;
  }
  const std::optional<int64_t> all_bits = CheckedProduct({elements, bits});
  if (!all_bits || *all_bits % 8 != 0) return std::nullopt;
  return *all_bits / 8;
}

absl::StatusOr<StoredTensor> ParseTensor(const Json& tensor, int64_t data_bytes) {
  if (!tensor.is_object()) return BadField("entry", Shown(tensor), "an object");
  const absl::StatusOr<std::string> dtype = DtypeIn(tensor);
  if (!dtype.ok()) return dtype.status();
  absl::StatusOr<std::vector<int64_t>> shape = CountsIn(tensor, "shape");
  if (!shape.ok()) return shape.status();
  const absl::StatusOr<std::vector<int64_t>> offsets = CountsIn(tensor, "data_offsets");
  if (!offsets.ok()) return offsets.status();
  const std::string shown = Shown(tensor["data_offsets"]);
  if (offsets->size() != 2 || (*offsets)[0] > (*offsets)[1]) {
    return BadField("data_offsets", shown, "[begin, end] with begin <= end");
  }
  if ((*offsets)[1] > data_bytes) {
    return BadField("data_offsets", shown,
                    "an end within the " + std::to_string(data_bytes) + " bytes of data");
  }
  const std::optional<int64_t> bytes = BytesFor(*shape, *BitsOfDtype(*dtype));
  if (!bytes) return BadField("shape", Shown(tensor["shape"]), "whole bytes within 2^63");
  if (*bytes != (*offsets)[1] - (*offsets)[0]) {
    return BadField("data_offsets", shown,
                    std::to_string(*bytes) + " bytes, as shape " + Shown(tensor["shape"]) + " of " +
                        *dtype + " takes");
  }
  return StoredTensor{*dtype, *std::move(shape), (*offsets)[0], Bytes(*bytes)};
}

// Sorted by place, each tensor must begin where the one before it ended: no overlap, no hole.
absl::Status CheckCover(const StoredTensors& tensors, int64_t data_bytes) {
  std::vector<std::pair<const std::string*, const StoredTensor*>> by_place;
  for (const auto& [name, tensor] : tensors) by_place.emplace_back(&name, &tensor);
  std::sort(by_place.begin(), by_place.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->offset, a.second->bytes) <
           std::pair(b.second->offset, b.second->bytes);
  });
  int64_t end = 0;
  for (const auto& [name, tensor] : by_place) {
    if (tensor->offset != end) {
      return Annotate(BadField("data_offsets", tensor->offset,
                               "a begin of " + std::to_string(end) +
                                   ", where the tensor before it ends: no overlap and no hole"),
                      "tensor " + Excerpt(*name));
    }
    end += tensor->bytes.value();
  }
  if (end == data_bytes) return absl::OkStatus();
  return BadField("data size", data_bytes, std::to_string(end) + " bytes, as the header says");
}

absl::Status CheckMetadata(const Json& metadata) {
  const bool strings =
      metadata.is_object() && std::all_of(metadata.begin(), metadata.end(),
                                          [](const Json& value) { return value.is_string(); });
  if (strings) return absl::OkStatus();
  return BadField("__metadata__", Shown(metadata), "an object of strings");
}

absl::StatusOr<int64_t> SizeOf(int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return SystemError("fstat", errno);
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError("not a regular file");
  return int64_t{info.st_size};
}

absl::StatusOr<int64_t> HeaderLength(int fd, int64_t file_bytes) {
  std::array<std::byte, kLengthBytes> raw;
  if (file_bytes < kLengthBytes) {
    return BadField("file size", file_bytes, "at least the 8 bytes of a header's length");
  }
  PLIMSOLL_RETURN_IF_ERROR(ReadAt(fd, 0, raw));
  uint64_t length = 0;
  for (size_t i = raw.size(); i-- > 0;) length = length << 8 | std::to_integer<uint64_t>(raw[i]);
  if (length > static_cast<uint64_t>(kMaxHeaderBytes)) {
    return BadField("header length", std::to_string(length), "at most 100000000");
  }
  if (static_cast<int64_t>(length) > file_bytes - kLengthBytes) {
    return BadField("header length", std::to_string(length),
                    "at most the " + std::to_string(file_bytes - kLengthBytes) +
                        " bytes that follow in the file");
  }
  return static_cast<int64_t>(length);
}

}  // namespace

int64_t StoredTensor::Elements() const {
  int64_t elements = 1;
  for (const int64_t extent : shape) elements *= extent;
  return elements;
}

std::optional<int> BitsOfDtype(std::string_view dtype) {
  const DtypeRow* const row = RowOf(dtype);
  if (row == nullptr) return std::nullopt;
  return row->bits;
}

std::optional<ElementType> ElementTypeOfDtype(std::string_view dtype) {
  const DtypeRow* const row = RowOf(dtype);
  return row == nullptr ? std::nullopt : row->element;
}

std::string_view DtypeOf(ElementType type) {
  const auto* row = std::find_if(kDtypes.begin(), kDtypes.end(),
                                 [&](const DtypeRow& each) { return each.element == type; });
  PLIMSOLL_CHECK(row != kDtypes.end(), static_cast<int>(type));
  return row->name;
}

absl::Status ReadAt(int fd, int64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t got = pread(fd, out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("read", errno);
    if (got == 0) return absl::InternalError("the file became shorter while it was read");
    out = out.subspan(static_cast<size_t>(got));
    offset += got;
  }
  return absl::OkStatus();
}

absl::StatusOr<StoredTensors> ParseSafetensorsHeader(std::string_view text, int64_t data_start,
                                                     int64_t data_bytes) {
  const absl::StatusOr<Json> header = ParseStrictJson(text);
  if (!header.ok()) return Annotate(header.status(), "header");
  if (!header->is_object()) return BadField("header", Shown(*header), "an object");
  StoredTensors tensors;
  for (const auto& [name, entry] : header->items()) {
    if (name == "__metadata__") {
      PLIMSOLL_RETURN_IF_ERROR(CheckMetadata(entry));
      continue;
    }
    absl::StatusOr<StoredTensor> tensor = ParseTensor(entry, data_bytes);
    if (!tensor.ok()) return Annotate(tensor.status(), "tensor " + Shown(name));
    tensors.emplace(name, *std::move(tensor));
  }
  PLIMSOLL_RETURN_IF_ERROR(CheckCover(tensors, data_bytes));
  for (auto& [name, tensor] : tensors) tensor.offset += data_start;
  return tensors;
}

absl::StatusOr<StoredTensors> ReadSafetensorsHeader(int fd) {
  const absl::StatusOr<int64_t> file_bytes = SizeOf(fd);
  if (!file_bytes.ok()) return file_bytes.status();
  const absl::StatusOr<int64_t> length = HeaderLength(fd, *file_bytes);
  if (!length.ok()) return length.status();
  std::string text(static_cast<size_t>(*length), '\0');
  PLIMSOLL_RETURN_IF_ERROR(ReadAt(fd, kLengthBytes, std::as_writable_bytes(std::span(text))));
  const int64_t data_start = kLengthBytes + *length;
  return ParseSafetensorsHeader(text, data_start, *file_bytes - data_start);
}

}  // namespace plimsoll
