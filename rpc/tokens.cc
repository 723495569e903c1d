#include "rpc/tokens.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "absl/strings/escaping.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr size_t kShortest = 16;
constexpr size_t kLongest = 4096;
constexpr size_t kLongestTenant = 128;
constexpr char kDigestMark[] = "sha256:";

std::optional<Role> RoleFromName(const std::string& name) {
  for (const Role role : {Role::kRead, Role::kAdmission, Role::kAdmin}) {
    if (name == NameOf(role)) return role;
  }
  return std::nullopt;
}

// What stands before the next colon; the rest stays.
std::string TakePart(std::string& rest) {
  const size_t colon = rest.find(':');
  const std::string part = rest.substr(0, colon);
  rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  return part;
}

bool IsToken(const std::string& text) {
  return text.size() >= kShortest && text.size() <= kLongest &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

std::array<uint8_t, 32> DigestOf(const std::string& text) {
  std::array<uint8_t, 32> digest{};
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest.data());
  return digest;
}

// Of 64 hexadecimal digits, else nothing.
std::optional<std::array<uint8_t, 32>> DigestFromHex(const std::string& hex) {
  const bool digits = std::all_of(
      hex.begin(), hex.end(), [](char c) { return std::isxdigit(static_cast<unsigned char>(c)); });
  if (!digits || hex.size() != 64) return std::nullopt;
  std::array<uint8_t, 32> digest{};
  const std::string bytes = absl::HexStringToBytes(hex);
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

}  // namespace

const char* NameOf(Role role) {
  switch (role) {
    case Role::kRead:
      return "read";
    case Role::kAdmission:
      return "admission";
    case Role::kAdmin:
      return "admin";
  }
  return "read";
}

absl::Status TokenTable::ParseRole(const std::string& text, TokenOwner& owner) {
  const size_t at = text.find('@');
  const std::optional<Role> role = RoleFromName(text.substr(0, at));
  if (!role) {
    return absl::InvalidArgumentError("want NAME:ROLE:TOKEN, ROLE read, admission or admin");
  }
  owner.role = *role;
  if (at == std::string::npos) return absl::OkStatus();
  owner.tenant = text.substr(at + 1);
  if (*role != Role::kAdmission) {
    return absl::InvalidArgumentError("want a tenant with the role admission alone");
  }
  if (owner.tenant.empty() || owner.tenant.size() > kLongestTenant) {
    return absl::InvalidArgumentError("want a tenant of 1 to 128 bytes after the @");
  }
  return absl::OkStatus();
}

absl::StatusOr<TokenTable::Entry> TokenTable::ParseLine(const std::string& line) {
  std::string rest = line;
  Entry entry;
  entry.owner.name = TakePart(rest);
  PLIMSOLL_RETURN_IF_ERROR(ParseRole(TakePart(rest), entry.owner));
  if (entry.owner.name.empty()) return absl::InvalidArgumentError("want a name before the role");
  if (rest.rfind(kDigestMark, 0) == 0) {
    const auto digest = DigestFromHex(rest.substr(sizeof(kDigestMark) - 1));
    if (!digest) return absl::InvalidArgumentError("want 64 hexadecimal digits after sha256:");
    entry.digest = *digest;
    return entry;
  }
  if (!IsToken(rest)) {
    return absl::InvalidArgumentError("want a token of 16 to 4096 printable characters");
  }
  entry.digest = DigestOf(rest);
  return entry;
}

absl::StatusOr<TokenTable> TokenTable::Parse(const std::string& text) {
  TokenTable table;
  std::istringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    absl::StatusOr<Entry> entry = ParseLine(line);
    if (!entry.ok()) return Annotate(entry.status(), "line " + std::to_string(number));
    table.entries_.push_back(*std::move(entry));
  }
  if (table.entries_.empty()) return absl::InvalidArgumentError("no token in it");
  return table;
}

absl::StatusOr<TokenTable> TokenTable::ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  in.peek();  // a folder opens, but cannot be read: found out here, where the stream throws nothing
  if (!in.good() && !in.eof()) return absl::InvalidArgumentError(path + ": cannot be read");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  absl::StatusOr<TokenTable> table = Parse(text);
  if (!table.ok()) return Annotate(table.status(), path);
  return table;
}

bool TokenTable::bound_to_tenants() const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const Entry& entry) { return !entry.owner.tenant.empty(); });
}

std::optional<TokenOwner> TokenTable::Find(const std::string& presented) const {
  const Digest digest = DigestOf(presented);
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {
    if (CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0) found = &entry;
  }
  if (found == nullptr) return std::nullopt;
  return found->owner;
}

}  // namespace plimsoll
