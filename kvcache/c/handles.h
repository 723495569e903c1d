// Objects that C holds by tokens. A token is a number that was never an address and is never used
// again, so a stale or foreign one is found out.
//
// Threads: any. An object lives until its token is removed and the last call that found it is over.
// Cost: a shared lock and a look-up. Errors: what is not there is null.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <utility>

namespace plimsoll::c_interface {

// Tokens are distinct by kind: (number * 16 + kind), so that one kind is never taken for another.
template <class Token, class Object, uintptr_t kKind>
class Handles {
 public:
  static_assert(kKind > 0 && kKind < 16);

  // One for the process, which is never destroyed: calls may come while the process ends.
  static Handles& All() {
    static auto* const handles = new Handles;
    return *handles;
  }

  Token* Add(std::shared_ptr<Object> object) {
    const std::unique_lock lock(mutex_);
    const uintptr_t token = ++last_ * 16 + kKind;
    objects_.emplace(token, std::move(object));
    return std::bit_cast<Token*>(token);
  }
  std::shared_ptr<Object> Find(Token* token) const {
    const std::shared_lock lock(mutex_);
    const auto found = objects_.find(std::bit_cast<uintptr_t>(token));
    return found == objects_.end() ? nullptr : found->second;
  }
  // The object, for the caller to let go of outside of the lock.
  std::shared_ptr<Object> Remove(Token* token) {
    const std::unique_lock lock(mutex_);
    const auto found = objects_.find(std::bit_cast<uintptr_t>(token));
    if (found == objects_.end()) return nullptr;
    std::shared_ptr<Object> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

 private:
  mutable std::shared_mutex mutex_;
  uintptr_t last_ = 0;
  std::unordered_map<uintptr_t, std::shared_ptr<Object>> objects_;
};

}  // namespace plimsoll::c_interface
