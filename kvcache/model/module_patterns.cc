#include "kvcache/model/module_patterns.h"

#include <algorithm>
#include <cctype>

namespace plimsoll {
namespace {

constexpr size_t kLongestPattern = 256;
constexpr size_t kMostAlternatives = 64;

// One place of a pattern: a letter, any, or a digit; once, or as often as there are such.
struct Atom {
  enum class Kind : uint8_t { kLetter, kAny, kDigit };
  Kind kind;
  char letter = 0;
  bool repeats = false;  // none or more

  bool Takes(char c) const {
    if (kind == Kind::kAny) return true;
    return kind == Kind::kLetter ? c == letter : std::isdigit(static_cast<unsigned char>(c)) != 0;
  }
};

struct Pattern {
  std::vector<Atom> atoms;
  bool to_the_end = true;
};

Pattern FromGlob(std::string_view text) {
  Pattern pattern;
  for (const char c : text) {
    if (c == '*') {
      pattern.atoms.push_back({.kind = Atom::Kind::kAny, .repeats = true});
    } else if (c == '?') {
      pattern.atoms.push_back({.kind = Atom::Kind::kAny});
    } else {
      pattern.atoms.push_back({.kind = Atom::Kind::kLetter, .letter = c});
    }
  }
  return pattern;
}

// Takes one atom from the front; nullopt for what is not read here.
std::optional<Atom> TakeAtom(std::string_view& text) {
  constexpr std::string_view kDigits = "[0-9]";
  if (text.starts_with(kDigits)) {
    text.remove_prefix(kDigits.size());
    return Atom{.kind = Atom::Kind::kDigit};
  }
  const char c = text.front();
  text.remove_prefix(1);
  if (c == '.') return Atom{.kind = Atom::Kind::kAny};
  if (c == '\\') {
    if (text.empty()) return std::nullopt;
    const char escaped = text.front();
    text.remove_prefix(1);
    if (escaped == 'd') return Atom{.kind = Atom::Kind::kDigit};
    if (std::ispunct(static_cast<unsigned char>(escaped)) == 0) return std::nullopt;
    return Atom{.kind = Atom::Kind::kLetter, .letter = escaped};
  }
  const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
  if (!plain) return std::nullopt;
  return Atom{.kind = Atom::Kind::kLetter, .letter = c};
}

std::optional<Pattern> FromExpression(std::string_view text) {
  Pattern pattern{.atoms = {}, .to_the_end = false};
  if (text.starts_with('^')) text.remove_prefix(1);
  while (!text.empty()) {
    if (text == "$") {
      pattern.to_the_end = true;
      break;
    }
    std::optional<Atom> atom = TakeAtom(text);
    if (!atom) return std::nullopt;
    if (text.starts_with('+')) pattern.atoms.push_back(*atom);
    atom->repeats = text.starts_with('*') || text.starts_with('+');
    if (atom->repeats) text.remove_prefix(1);
    pattern.atoms.push_back(*atom);
  }
  return pattern;
}

// "a(b|c)d" is "abd" and "acd".
std::optional<std::vector<std::string>> Alternatives(std::string_view text) {
  std::vector<std::string> all = {std::string(text)};
  for (size_t i = 0; i < all.size();) {
    const size_t open = all[i].find('(');
    if (open == std::string::npos) {
      ++i;
      continue;
    }
    const size_t close = all[i].find(')', open);
    if (close == std::string::npos || all.size() > kMostAlternatives) return std::nullopt;
    const std::string before = all[i].substr(0, open), after = all[i].substr(close + 1);
    std::string_view inside = std::string_view(all[i]).substr(open + 1, close - open - 1);
    if (inside.starts_with('?')) return std::nullopt;
    std::vector<std::string> put;
    while (true) {
      const size_t bar = inside.find('|');
      put.push_back(before + std::string(inside.substr(0, bar)) + after);
      if (bar == std::string_view::npos) break;
      inside.remove_prefix(bar + 1);
    }
    all[i] = put[0];
    all.insert(all.end(), put.begin() + 1, put.end());
  }
  return all;
}

// After each letter of the name, the places of the pattern that may come next.
bool Matches(std::string_view name, const Pattern& pattern) {
  const std::vector<Atom>& atoms = pattern.atoms;
  std::vector<bool> at(atoms.size() + 1, false);
  at[0] = true;
  const auto skip_repeats = [&] {
    for (size_t i = 0; i < atoms.size(); ++i) {
      if (at[i] && atoms[i].repeats) at[i + 1] = true;
    }
  };
  skip_repeats();
  for (const char c : name) {
    if (at.back() && !pattern.to_the_end) return true;
    std::vector<bool> next(at.size(), false);
    for (size_t i = 0; i < atoms.size(); ++i) {
      if (at[i] && atoms[i].Takes(c)) next[atoms[i].repeats ? i : i + 1] = true;
    }
    at = std::move(next);
    skip_repeats();
  }
  return at.back();
}

std::optional<std::vector<Pattern>> PatternsFrom(std::string_view text, PatternKind kind) {
  if (text.size() > kLongestPattern) return std::nullopt;
  if (kind == PatternKind::kGlob) return std::vector<Pattern>{FromGlob(text)};
  const std::optional<std::vector<std::string>> alternatives = Alternatives(text);
  if (!alternatives) return std::nullopt;
  std::vector<Pattern> patterns;
  for (const std::string& alternative : *alternatives) {
    const std::optional<Pattern> pattern = FromExpression(alternative);
    if (!pattern) return std::nullopt;
    patterns.push_back(*pattern);
  }
  return patterns;
}

bool MatchesOne(std::string_view name, const std::vector<Pattern>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [name](const Pattern& pattern) { return Matches(name, pattern); });
}

void Replace(std::string& text, std::string_view from, const std::string& to) {
  const size_t at = text.find(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
}

// The module's name on one layer, of its first expert.
std::string NameOn(std::string module, const std::string& layer) {
  Replace(module, "{layer}", layer);
  Replace(module, "{expert}", "0");
  return module;
}

void AddModules(const TensorSpec& tensor, const std::vector<Pattern>& patterns, bool by_layer,
                std::vector<std::string>& found) {
  std::string module = tensor.name;
  Replace(module, ".weight", "");
  if (!by_layer || tensor.layers.empty()) {
    if (!MatchesOne(NameOn(module, "0"), patterns)) return;
    Replace(module, "{layer}", "*");
    found.push_back(module);
    return;
  }
  for (const int32_t layer : tensor.layers) {
    if (!MatchesOne(NameOn(module, std::to_string(layer)), patterns)) continue;
    std::string name = module;
    Replace(name, "{layer}", std::to_string(layer));
    found.push_back(std::move(name));
  }
}

}  // namespace

std::optional<bool> MatchesPattern(std::string_view name, std::string_view pattern,
                                   PatternKind kind) {
  const std::optional<std::vector<Pattern>> patterns = PatternsFrom(pattern, kind);
  if (!patterns) return std::nullopt;
  return MatchesOne(name, *patterns);
}

std::optional<std::vector<std::string>> ModulesNamed(const ModelConfig& model,
                                                     std::string_view pattern, PatternKind kind) {
  const std::optional<std::vector<Pattern>> patterns = PatternsFrom(pattern, kind);
  if (!patterns) return std::nullopt;
  const bool by_layer = std::any_of(pattern.begin(), pattern.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
  std::vector<std::string> found;
  for (const TensorSpec& tensor : model.tensors) {
    const bool matrix = tensor.role == TensorRole::kLinear || tensor.role == TensorRole::kExpert;
    if (matrix) AddModules(tensor, *patterns, by_layer, found);
  }
  return found;
}

}  // namespace plimsoll
