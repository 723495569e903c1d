// Who holds leases open: a session whose stream lives.
//
// A reservation with a keeper is confirmed and its lease does not run, until the keeper lets go of
// it: then it runs for the time that the keeper names. The keeper hears of every reservation that
// it keeps from the grant to the end.
//
// Threads: called from inside the controller, which it must not call back. Cost: its own.
// Errors: none.
#pragma once

#include <cstdint>

namespace plimsoll {

enum class EndCause : uint8_t {
  kReleased,   // by its holder, or its sequence ended
  kExpired,    // its lease was over
  kTakenOver,  // it goes on under another keeper
};

class LeaseKeeper {
 public:
  virtual ~LeaseKeeper() = default;
  // It keeps this reservation from now on. Called once until Ended.
  virtual void Keeps(int64_t number) = 0;
  virtual void Ended(int64_t number, EndCause cause) = 0;
};

}  // namespace plimsoll
