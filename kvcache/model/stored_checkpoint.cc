#include "kvcache/model/stored_checkpoint.h"

#include <algorithm>

namespace plimsoll {

using Kind = HeaderDifference::Kind;

std::string NameOf(Kind kind) {
  switch (kind) {
    case Kind::kLeftOut:
      return "left out";
    case Kind::kStoredTwice:
      return "stored twice";
    case Kind::kMissing:
      return "missing";
    case Kind::kUnexpected:
      return "unexpected";
    case Kind::kOtherShape:
      return "other shape";
    case Kind::kOtherType:
      return "other type";
  }
  return "";
}

bool StoredCheckpoint::agrees() const {
  return std::none_of(differences.begin(), differences.end(), [](const HeaderDifference& each) {
    return each.kind != Kind::kLeftOut && each.kind != Kind::kStoredTwice;
  });
}

}  // namespace plimsoll
