// Counts that cannot be mixed up: Bytes, Tokens, Blocks.
//
// Invariants: no count is below zero or beyond int64_t; an operation that would pass either aborts.
// So check what comes from outside first, with Checked* below, and only then make a unit of it.
// Only like divides like, and a step from one kind to another has a function whose comment says
// which way it rounds.
//
// Threads: values. Cost: one overflow test per operation. Errors: abort.
#pragma once

#include <compare>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <ostream>

#include "kvcache/base/check.h"

namespace plimsoll {

// The sum or product of non-negative integers, or nullopt where it exceeds int64_t.
constexpr std::optional<int64_t> CheckedAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}
constexpr std::optional<int64_t> CheckedProduct(std::initializer_list<int64_t> factors) {
  int64_t product = 1;
  for (const int64_t factor : factors) {
    if (__builtin_mul_overflow(product, factor, &product)) return std::nullopt;
  }
  return product;
}

// Rounds up; `divisor` > 0, `n` >= 0.
constexpr int64_t CeilDivide(int64_t n, int64_t divisor) {
  return n / divisor + (n % divisor != 0 ? 1 : 0);
}

// So many of one kind of thing, zero or more; neither other kinds nor bare integers fit in.
template <class Tag>
class Count {
 public:
  constexpr Count() = default;
  constexpr explicit Count(int64_t n) : n_(n) { PLIMSOLL_CHECK(n >= 0, n); }

  constexpr int64_t value() const { return n_; }

  friend constexpr auto operator<=>(Count, Count) = default;
  friend constexpr Count operator+(Count a, Count b) {
    const std::optional<int64_t> sum = CheckedAdd(a.n_, b.n_);
    PLIMSOLL_CHECK(sum.has_value(), a.n_, b.n_);
    return Count(*sum);
  }
  friend constexpr Count operator-(Count a, Count b) { return Count(a.n_ - b.n_); }
  friend constexpr Count operator*(Count a, int64_t times) {
    const std::optional<int64_t> product = CheckedProduct({a.n_, times});
    PLIMSOLL_CHECK(product.has_value(), a.n_, times);
    return Count(*product);
  }
  friend constexpr Count operator*(int64_t times, Count a) { return a * times; }
  // How many whole `b` fit in `a`.
  friend constexpr int64_t operator/(Count a, Count b) {
    PLIMSOLL_CHECK(b.n_ > 0, a.n_, b.n_);
    return a.n_ / b.n_;
  }
  constexpr Count& operator+=(Count b) { return *this = *this + b; }
  constexpr Count& operator-=(Count b) { return *this = *this - b; }

  friend std::ostream& operator<<(std::ostream& out, Count a) { return out << a.n_; }

 private:
  int64_t n_ = 0;
};

using Bytes = Count<struct BytesTag>;
using Tokens = Count<struct TokensTag>;
using Blocks = Count<struct BlocksTag>;

// The fewest blocks with room for `n` tokens; of the last one, part may stay empty.
constexpr Blocks BlocksCovering(Tokens n, Tokens per_block) {
  PLIMSOLL_CHECK(per_block > Tokens(0));
  return Blocks(CeilDivide(n.value(), per_block.value()));
}

// The most blocks that `budget` pays for; the remainder buys nothing.
constexpr Blocks BlocksFittingIn(Bytes budget, Bytes per_block) {
  return Blocks(budget / per_block);
}

static_assert(BlocksCovering(Tokens(16), Tokens(16)) == Blocks(1));
static_assert(BlocksCovering(Tokens(17), Tokens(16)) == Blocks(2));
static_assert(BlocksFittingIn(Bytes(4095), Bytes(4096)) == Blocks(0));

template <class A, class B>
concept Addable = requires(A a, B b) {
  a + b;
};
static_assert(Addable<Tokens, Tokens> && !Addable<Bytes, Tokens> && !Addable<Blocks, int>);

}  // namespace plimsoll
