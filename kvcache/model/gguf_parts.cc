#include "kvcache/model/gguf_parts.h"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <regex>
#include <set>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/folder_files.h"
#include "kvcache/model/gguf_keys.h"

namespace plimsoll {
namespace {

namespace fs = std::filesystem;

struct PartName {
  std::string stem;  // with its folder
  int64_t number;
  int64_t count;

  std::string Of(int64_t part) const {
    char numbers[32];
    std::snprintf(numbers, sizeof numbers, "-%05d-of-%05d", static_cast<int>(part),
                  static_cast<int>(count));
    return stem + numbers + ".gguf";
  }
};

std::optional<PartName> PartNameOf(const std::string& path) {
  static const std::regex kNumbers(R"((.*)-(\d{5})-of-(\d{5})\.gguf)");
  std::smatch match;
  if (!std::regex_match(path, match, kNumbers)) return std::nullopt;
  return PartName{match[1], std::stoll(match[2]), std::stoll(match[3])};
}

absl::Status Append(GgufHeader part, const std::string& path, std::set<std::string>& names,
                    GgufHeader& all) {
  for (GgufTensor& tensor : part.tensors) {
    if (!names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(path + ": tensor " + Excerpt(tensor.name) +
                                        ": stands in another part too");
    }
    all.tensors.push_back(std::move(tensor));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GgufHeader> ReadGgufParts(const std::string& path) {
  absl::StatusOr<GgufHeader> header = ReadGgufHeader(path);
  if (!header.ok()) return header.status();
  const int64_t count = GgufNumber(*header, "split.count").value_or(1);
  if (count <= 1) return header;
  const std::optional<PartName> name = PartNameOf(path);
  if (!name || name->count != count) {
    const std::string first = PartName{.stem = "", .number = 1, .count = count}.Of(1);
    return Annotate(BadField("split.count", count, "parts named " + first + " and so on"), path);
  }
  GgufHeader all;
  std::set<std::string> names;
  for (int64_t part = 1; part <= count; ++part) {
    absl::StatusOr<GgufHeader> next = ReadGgufHeader(name->Of(part));
    if (!next.ok()) return next.status();
    if (part == 1) all.metadata = std::move(next->metadata);
    PLIMSOLL_RETURN_IF_ERROR(Append(*std::move(next), name->Of(part), names, all));
  }
  all.files = count;
  return all;
}

std::string GgufName(const std::string& path) {
  const std::optional<PartName> part = PartNameOf(path);
  return part ? fs::path(part->stem).filename().string() : fs::path(path).stem().string();
}

absl::StatusOr<std::vector<std::string>> GgufFilesIn(const std::string& folder) {
  const absl::StatusOr<std::vector<std::string>> names = FilesEndingWith(".gguf", folder);
  if (!names.ok()) return names.status();
  std::vector<std::string> files;
  for (const std::string& name : *names) {
    const std::string path = (fs::path(folder) / name).string();
    const std::optional<PartName> part = PartNameOf(path);
    if (!part || part->number == 1) files.push_back(path);
  }
  return files;
}

}  // namespace plimsoll
