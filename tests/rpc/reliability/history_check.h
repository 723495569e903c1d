// Proves from what clients saw, and from nothing else, that a server kept its promises:
//
//   capacity   the blocks that were certainly held at once never exceed the pool
//   names      no reservation has two requests, and no request two reservations in one server life
//   leases     nothing ended before its lease
//   waits      every call was answered in time, unless its caller was killed
//   turns      nobody who waited was overtaken by many who came later, where that is looked at
//   leaks      at the end, everything was free
//
// A reservation is certainly held from the answer that granted it until its holder sends the
// release, or until its lease could be over at the earliest: the ttl after the last sign of life
// that was confirmed had been sent (for an unconfirmed grant, the confirm window after it was asked
// for; what a session keeps, the session's ttl after its stream was certainly there). It is also
// over when the server is killed, whose ledger that ends; a "server killed" is written before the
// signal is sent. What is uncertain counts for the server, so each fault is one.
//
// Of a server that learns, promises outlive it: what was held is held on, from what was claimed in
// time nothing is lost, and what it is called in the next life is the same promise.
//
// Threads: none. Cost: O(n log n) of the events. Errors: a record that contradicts itself is a
// fault too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/rpc/reliability/history.h"

namespace plimsoll {

struct HistoryRules {
  int64_t total_blocks;
  int64_t confirm_window = 5'000'000'000;  // nanoseconds, as are the others
  int64_t answer_slack = 10'000'000'000;   // beyond max_wait, that an answer may take
  bool learning = false;                   // the server finds out what earlier lives promised
  int64_t most_overtakes = 0;  // of one who waits, by those who came after; 0: not looked at
};

struct HistoryReport {
  std::vector<std::string> faults;  // the first of each kind, at most 20
  int64_t calls = 0, answered = 0, decisions = 0, grants = 0, server_lives = 0;
  int64_t peak_blocks = 0;  // certainly held at once
  int64_t clients_killed = 0;
  int64_t claims = 0;  // that were taken
  int64_t kept = 0;    // times that a session was heard to hold something
  int64_t most_overtaken = 0;
  double seconds = 0;     // from the first event to the last
  double seconds_up = 0;  // of these, until the last decision, those in which a server ran
  int64_t slowest_second =
      -1;  // decisions in it, of the whole seconds in which one ran; -1: of none
};

// `events` in any order, but for those of one client and one nanosecond, which are in theirs.
HistoryReport CheckHistory(std::vector<HistoryEvent> events, const HistoryRules& rules);

}  // namespace plimsoll
