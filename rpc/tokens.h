// Tokens that callers prove themselves with, read from a file of lines
//
//   NAME:ROLE:TOKEN
//   NAME:ROLE:sha256:HEX    the same, when the file must not hold the token itself
//
// with '#' for comments. ROLE is read (look), admission (reserve and generate too) or admin (all);
// admission@TENANT is admission for that one tenant, of at most 128 bytes and without a colon.
// A token has 16 to 4096 printable characters. Only digests are kept.
//
// Threads: a value. Cost: Find hashes what was presented and compares it with every token, in a
// time that depends on neither. Errors: InvalidArgument naming the line, never the token.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace plimsoll {

// Each may what those before it may.
enum class Role : uint8_t { kRead, kAdmission, kAdmin };
const char* NameOf(Role role);

struct TokenOwner {
  std::string name;
  Role role = Role::kRead;
  std::string tenant = {};  // that it acts for; empty: for all
};

class TokenTable {
 public:
  static absl::StatusOr<TokenTable> Parse(const std::string& text);
  // Parse of the file's content; errors name the file.
  static absl::StatusOr<TokenTable> ReadFile(const std::string& path);

  std::optional<TokenOwner> Find(const std::string& presented) const;
  size_t size() const { return entries_.size(); }
  // Whether some token acts for one tenant only.
  bool bound_to_tenants() const;

 private:
  using Digest = std::array<uint8_t, 32>;
  struct Entry {
    TokenOwner owner;
    Digest digest;
  };
  static absl::StatusOr<Entry> ParseLine(const std::string& line);
  // Of "ROLE" or "ROLE@TENANT".
  static absl::Status ParseRole(const std::string& text, TokenOwner& owner);

  std::vector<Entry> entries_;
};

}  // namespace plimsoll
