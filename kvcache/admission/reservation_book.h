// Every reservation that is held, and those that ended less than a minute ago.
//
// An ended one stays known, so that releasing twice is harmless and a repeated request_id gets the
// same reservation. Ended ones are forgotten a minute after their end, or sooner, oldest first,
// when all that is known exceeds the byte cap. Held ones are never forgotten: the pool bounds them.
// A request_id belongs to its tenant; two tenants may use the same one.
//
// What is forgotten goes in the order of its end, so it was in no cache for long: the next one to
// go is fetched before it goes, and the one that went last is the next to be used again. The memory
// of records stays with the book.
//
// Threads: none; the owner serialises calls. Cost: O(1) per call, and per record forgotten.
// Errors: misuse (ending twice) aborts.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "kvcache/admission/deadline_queue.h"
#include "kvcache/admission/lease_keeper.h"
#include "kvcache/admission/policy_set.h"
#include "kvcache/admission/record_index.h"
#include "kvcache/admission/remaining_tokens.h"
#include "kvcache/admission/reservation.h"
#include "kvcache/admission/tenant_book.h"
#include "kvcache/base/ids.h"
#include "kvcache/base/units.h"

namespace plimsoll {

inline constexpr Duration kKeptAfterEnd = std::chrono::minutes(1);

// What a holder is told, but for what is known besides: the id, the epoch and the tenant.
struct Terms {
  Tokens prompt_tokens;
  Tokens max_new_tokens;
  Blocks blocks;
  Blocks prefix_blocks = Blocks(0);
  Duration ttl{};
  Instant expires;
  WallTime expire_time;
  bool confirmed = false;
  std::string claimed_id = {};
};

// What became of a reservation since.
struct ReservationCourse {
  size_t name_hash = 0;                               // of its request id's, where it has one
  std::optional<SequenceId> sequence = std::nullopt;  // the one that runs on it
  // Until one runs: the one that holds the prefix that was there, and the promise.
  std::optional<SequenceId> prepared = std::nullopt;
  bool by_hashes = false;            // its sequence began with the request's prefix_hashes
  LeaseKeeper* keeper = nullptr;     // who hears of its end
  bool kept = false;                 // its keeper holds the lease open
  TenantAccount* account = nullptr;  // its tenant's, while it is held
  RequestClass* its_class = nullptr;
  AdmissionPolicy::Place place = 0;  // to its class's policy
  Tokens generated = Tokens(0);      // as far as the holder's extensions tell
  // Its number, or that of the first of those that it goes on with: who came first.
  int64_t seniority = 0;
  bool gave_up = false;         // it was released while it waited for room to grow
  bool stop_requested = false;  // released or revoked while its sequence runs
  bool revoked = false;         // taken away from its holder
  bool suspended = false;       // its sequence is, and holds nothing
  Instant granted = {};
  std::optional<Instant> reported = std::nullopt;  // when its holder last said how far it is
  DeadlineQueue::Place lease = std::nullopt;       // while that runs
  RemainingTokens::Place ends = std::nullopt;      // among those who may generate
  bool ended = false;
};

struct ReservationRecord : ReservationCourse {
  int64_t number = 0;          // the one in its id; from 1
  ReservationRequest request;  // as first asked: what a repeat is compared with
  Terms terms;
};

// A request_id and whose it is. The strings are the record's own.
struct RequestName {
  std::string_view tenant, request_id;

  friend bool operator==(const RequestName&, const RequestName&) = default;
};

// A name of which only the hash is looked at.
struct HashedName {
  size_t hash;
};

// Nobody outside can tell which names fall together: each has a secret of its own.
class RequestNameHash {
 public:
  using is_transparent = void;

  RequestNameHash();
  size_t operator()(const RequestName& name) const;
  size_t operator()(const ReservationRecord* record) const { return record->name_hash; }
  size_t operator()(const HashedName& name) const { return name.hash; }

 private:
  uint64_t secret_;
};

struct SameRequestName {
  using is_transparent = void;

  bool operator()(const ReservationRecord* a, const RequestName& b) const;
  bool operator()(const ReservationRecord* a, const ReservationRecord* b) const;
};

class ReservationBook {
 public:
  explicit ReservationBook(Bytes cap) : cap_(cap) {}
  ReservationBook(const ReservationBook&) = delete;  // its indices point into it
  ReservationBook& operator=(const ReservationBook&) = delete;

  int64_t NextNumber() const { return index_.next_number(); }
  // Adds a held record with the next number. References stay valid until it is forgotten.
  ReservationRecord& Add(const ReservationRequest& request, const Terms& terms);
  // Null when it was never given or is forgotten.
  ReservationRecord* Find(int64_t number) { return index_.Find(number); }
  const ReservationRecord* Find(int64_t number) const { return index_.Find(number); }
  // The record that this tenant and request id got, held or ended; null if none or id empty.
  const ReservationRecord* FindRequest(const ReservationRequest& request) const;
  ReservationRecord* FindRequest(const ReservationRequest& request);
  // The record that stands for what an earlier life called so; null where there is none.
  ReservationRecord* FindClaimed(const std::string& id);
  // Says that `record` does; one record stands for one id.
  void NameClaimed(ReservationRecord& record, const std::string& id);
  void End(ReservationRecord& record, Instant now);
  // Forgets the latest one, which is held, as if it had never been added.
  void Remove(const ReservationRecord& record);
  // Forgets what ended a minute before `now`, and what the byte cap has no room for.
  void Forget(Instant now);

  // All, in no order.
  template <class See>
  void SeeAll(See see) const {
    index_.SeeAll(see);
  }
  // Held ones with numbers after this one, in order, until `see` says false. O(seen), and a bit for
  // each that was granted after it.
  template <class See>
  void SeeHeldAfter(int64_t number, See see) const {
    index_.SeeHeldAfter(number, see);
  }

  int64_t held() const { return held_; }
  int64_t ended() const { return std::ssize(ended_); }
  Bytes bytes() const { return bytes_; }

 private:
  struct Ended {
    ReservationRecord* record;
    size_t name_hash;
    Instant when;
  };

  ReservationRecord& Unused();
  void Erase(ReservationRecord& record);
  void PrefetchOldest() const;

  const Bytes cap_;
  Bytes bytes_;
  int64_t held_ = 0;
  std::deque<ReservationRecord> records_;
  std::vector<ReservationRecord*> spare_;  // that were forgotten; the last one is used next
  RecordIndex index_;
  absl::flat_hash_set<ReservationRecord*, RequestNameHash, SameRequestName> by_request_;
  std::unordered_map<std::string, int64_t> by_claim_;  // by id of an earlier life
  std::deque<Ended> ended_;                            // oldest end first
};

// Whether a repeat of `first` asks for the same thing.
bool SameContent(const ReservationRequest& first, const ReservationRequest& repeat);

}  // namespace plimsoll
