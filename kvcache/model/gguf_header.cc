#include "kvcache/model/gguf_header.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <fstream>
#include <limits>
#include <set>
#include <system_error>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/gguf_reader.h"

namespace plimsoll {
namespace {

constexpr int64_t kMaxPairs = 1 << 16;
constexpr int64_t kMaxTensors = 1 << 20;
constexpr int64_t kMaxKeyBytes = 1 << 16;
constexpr int64_t kMaxDimensions = 4;
constexpr int64_t kDefaultAlignment = 32;
constexpr int64_t kMaxAlignment = 1 << 20;
constexpr int64_t kMaxHeadBytes = int64_t{64} << 20;
constexpr int64_t kFirstRead = int64_t{1} << 20;

// Reads all pairs; a message begins with the key.
void ReadMetadata(GgufReader& reader, int64_t pairs, GgufHeader& header) {
  for (int64_t i = 0; i < pairs && reader.ok(); ++i) {
    const std::string key(reader.String("length of key", kMaxKeyBytes));
    GgufValue value = ReadGgufValue(reader);
    if (!reader.ok()) return reader.Name(Excerpt(key));
    if (!header.metadata.emplace(key, std::move(value)).second) {
      reader.Fail(absl::InvalidArgumentError("duplicate key \"" + Excerpt(key) + "\""));
    }
  }
}

// What the table says of one tensor; where it lies comes back in `offset`.
absl::StatusOr<GgufTensor> ReadTensor(GgufReader& reader, int64_t& offset) {
  GgufTensor tensor{};
  tensor.name = std::string(reader.String("length of name", kMaxKeyBytes));
  const uint64_t dimensions = reader.Unsigned(4);
  if (!reader.ok()) return reader.status();
  const std::string who = "tensor " + Excerpt(tensor.name);
  if (dimensions > kMaxDimensions) {
    return Annotate(BadField("dimensions", std::to_string(dimensions), "at most 4"), who);
  }
  std::optional<int64_t> elements = 1;
  for (uint64_t i = 0; i < dimensions; ++i) {
    const int64_t extent = reader.Count("extent", std::numeric_limits<int64_t>::max());
    if (reader.ok() && extent == 0) return Annotate(BadField("extent", extent, "above 0"), who);
    tensor.shape.insert(tensor.shape.begin(), extent);
    if (elements) elements = CheckedProduct({*elements, extent});
  }
  const uint64_t type = reader.Unsigned(4);
  offset = reader.Count("offset", std::numeric_limits<int64_t>::max());
  if (!reader.ok()) return reader.status();
  tensor.type = GgufTypeOf(static_cast<uint32_t>(type));
  if (tensor.type == nullptr) {
    return Annotate(BadField("type", std::to_string(type), "a type that GGUF files store"), who);
  }
  const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  const std::optional<Bytes> bytes =
      elements ? GgufBytes(*tensor.type, *elements, row) : std::nullopt;
  if (!bytes || *bytes > Bytes(std::numeric_limits<int64_t>::max() / 2)) {
    return Annotate(BadField("row", row,
                             "whole blocks of " + std::string(tensor.type->name) +
                                 ", and a tensor of less than 2^62 bytes"),
                    who);
  }
  tensor.elements = *elements;
  tensor.bytes = *bytes;
  return tensor;
}

absl::StatusOr<int64_t> AlignmentOf(const GgufHeader& header) {
  const auto found = header.metadata.find("general.alignment");
  if (found == header.metadata.end()) return kDefaultAlignment;
  const int64_t* const value = std::get_if<int64_t>(&found->second);
  if (value == nullptr || *value < 1 || *value > kMaxAlignment ||
      !std::has_single_bit(static_cast<uint64_t>(*value))) {
    return BadField("general.alignment",
                    value == nullptr ? "no whole number" : std::to_string(*value),
                    "a power of two, at most 2^20");
  }
  return *value;
}

int64_t Padded(int64_t n, int64_t alignment) { return CeilDivide(n, alignment) * alignment; }

struct Table {
  std::vector<int64_t> offsets;  // of each tensor, from where the data begins
  int64_t end = 0;               // of the header
};

void ReadTable(GgufReader& reader, int64_t count, GgufHeader& header, Table& table) {
  std::set<std::string_view> names;
  header.tensors.reserve(static_cast<size_t>(std::min<int64_t>(count, 4096)));
  for (int64_t i = 0; i < count && reader.ok(); ++i) {
    int64_t offset = 0;
    absl::StatusOr<GgufTensor> tensor = ReadTensor(reader, offset);
    if (!tensor.ok()) return reader.Fail(tensor.status());
    header.tensors.push_back(*std::move(tensor));
    table.offsets.push_back(offset);
  }
  for (const GgufTensor& tensor : header.tensors) {
    if (names.insert(tensor.name).second) continue;
    return reader.Fail(absl::InvalidArgumentError("tensor " + Excerpt(tensor.name) +
                                                  ": stands twice in the table"));
  }
  table.end = reader.position();
}

// Each tensor must begin where the one before it ended, padded: no overlap, no hole.
absl::Status CheckPlaces(const GgufHeader& header, const Table& table, int64_t file_bytes) {
  const absl::StatusOr<int64_t> alignment = AlignmentOf(header);
  if (!alignment.ok()) return alignment.status();
  const int64_t data_start = Padded(table.end, *alignment);
  int64_t end = 0, padded_end = 0;
  for (size_t i = 0; i < header.tensors.size(); ++i) {
    const GgufTensor& tensor = header.tensors[i];
    if (table.offsets[i] != padded_end) {
      return Annotate(BadField("offset", table.offsets[i],
                               std::to_string(padded_end) +
                                   ", where the tensor before it ends: no overlap and no hole"),
                      "tensor " + Excerpt(tensor.name));
    }
    end = padded_end + tensor.bytes.value();
    if (end > file_bytes - data_start) {
      return Annotate(
          BadField("data", end,
                   "at most the " + std::to_string(std::max<int64_t>(file_bytes - data_start, 0)) +
                       " bytes that follow the header"),
          "tensor " + Excerpt(tensor.name));
    }
    padded_end = Padded(end, *alignment);
  }
  return absl::OkStatus();
}

// The first `count` bytes of the file, or all of it.
absl::StatusOr<std::string> ReadHead(std::ifstream& in, int64_t count) {
  std::string head(static_cast<size_t>(count), '\0');
  in.clear();
  in.seekg(0);
  in.read(head.data(), count);
  if (in.bad()) return SystemError("read", errno);
  head.resize(static_cast<size_t>(in.gcount()));
  return head;
}

}  // namespace

absl::StatusOr<GgufHeader> ParseGgufHeader(std::string_view head, int64_t file_bytes) {
  GgufReader reader(head, file_bytes);
  if (reader.Take(4) != "GGUF" && reader.ok()) {
    return absl::InvalidArgumentError("no GGUF file: it does not begin with GGUF");
  }
  const uint64_t version = reader.Unsigned(4);
  if (reader.ok() && version != 2 && version != 3) {
    return BadField("version", std::to_string(version), "2 or 3, little-endian");
  }
  const int64_t tensors = reader.Count("tensors", kMaxTensors);
  const int64_t pairs = reader.Count("pairs of metadata", kMaxPairs);
  GgufHeader header;
  Table table;
  ReadMetadata(reader, pairs, header);
  ReadTable(reader, tensors, header, table);
  PLIMSOLL_RETURN_IF_ERROR(reader.status());
  PLIMSOLL_RETURN_IF_ERROR(CheckPlaces(header, table, file_bytes));
  return header;
}

absl::StatusOr<GgufHeader> ReadGgufHeader(const std::string& path) {
  errno = 0;
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) return absl::InvalidArgumentError(path + ": " + std::generic_category().message(errno));
  const int64_t file_bytes = in.tellg();
  for (int64_t count = std::min(kFirstRead, file_bytes);; count = std::min(count * 8, file_bytes)) {
    const absl::StatusOr<std::string> head = ReadHead(in, std::min(count, kMaxHeadBytes));
    if (!head.ok()) return Annotate(head.status(), path);
    absl::StatusOr<GgufHeader> header = ParseGgufHeader(*head, file_bytes);
    if (header.ok() || header.status().code() != absl::StatusCode::kOutOfRange) {
      return header.ok() ? std::move(header) : Annotate(header.status(), path);
    }
    if (count >= std::min(kMaxHeadBytes, file_bytes)) {
      return absl::InvalidArgumentError(path + ": the header is longer than 64 MiB");
    }
  }
}

}  // namespace plimsoll
