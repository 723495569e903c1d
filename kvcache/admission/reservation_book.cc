#include "kvcache/admission/reservation_book.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <random>
#include <utility>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

// About what one record occupies: itself, its strings, and its places in the indices, here and in
// the queues of what is held.
Bytes BytesOfRecord(const ReservationRecord& record) {
  constexpr size_t kIndices = 128;
  const size_t strings = record.request.tenant.size() + record.request.request_id.size() +
                         record.request.request_class.size() + record.request.resumes.size() +
                         2 * record.terms.claimed_id.size();
  const size_t hashes = record.request.prefix_hashes.size() * sizeof(uint64_t);
  return Bytes(static_cast<int64_t>(sizeof(ReservationRecord) + strings + hashes + kIndices));
}

RequestName NameOf(const ReservationRequest& request) {
  return {.tenant = request.tenant, .request_id = request.request_id};
}

uint64_t Secret() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

RequestNameHash::RequestNameHash() : secret_(Secret()) {}

size_t RequestNameHash::operator()(const RequestName& name) const {
  const auto hash = [](std::string_view text, uint64_t seed) {
    return XXH3_64bits_withSeed(text.data(), text.size(), seed);
  };
  return hash(name.request_id, hash(name.tenant, secret_));
}

bool SameRequestName::operator()(const ReservationRecord* a, const RequestName& b) const {
  return NameOf(a->request) == b;
}

bool SameRequestName::operator()(const ReservationRecord* a, const ReservationRecord* b) const {
  return a == b || NameOf(a->request) == NameOf(b->request);
}

ReservationRecord& ReservationBook::Unused() {
  if (spare_.empty()) return records_.emplace_back();
  ReservationRecord& record = *spare_.back();
  spare_.pop_back();
  static_cast<ReservationCourse&>(record) = {};
  return record;
}

// Texts are copied to where the last ones were.
ReservationRecord& ReservationBook::Add(const ReservationRequest& request, const Terms& terms) {
  ReservationRecord& record = Unused();
  record.number = NextNumber();
  record.request = request;
  record.terms = terms;
  index_.Add(&record);
  if (!request.request_id.empty()) {
    record.name_hash = by_request_.hash_function()(NameOf(request));
    const bool fresh = by_request_.insert(&record).second;
    PLIMSOLL_CHECK(fresh, request.tenant, request.request_id);
  }
  ++held_;
  bytes_ += BytesOfRecord(record);
  return record;
}

// Who asks for a name that is not here soon adds it: its place is fetched meanwhile.
const ReservationRecord* ReservationBook::FindRequest(const ReservationRequest& request) const {
  if (request.request_id.empty()) return nullptr;
  const size_t hash = by_request_.hash_function()(NameOf(request));
  by_request_.prefetch(HashedName{.hash = hash});
  const auto found = by_request_.find(NameOf(request), hash);
  return found == by_request_.end() ? nullptr : *found;
}

ReservationRecord* ReservationBook::FindRequest(const ReservationRequest& request) {
  if (request.request_id.empty()) return nullptr;
  const auto found = by_request_.find(NameOf(request));
  return found == by_request_.end() ? nullptr : *found;
}

ReservationRecord* ReservationBook::FindClaimed(const std::string& id) {
  const auto found = by_claim_.find(id);
  return found == by_claim_.end() ? nullptr : Find(found->second);
}

void ReservationBook::NameClaimed(ReservationRecord& record, const std::string& id) {
  PLIMSOLL_CHECK(record.terms.claimed_id.empty(), record.number, id);
  bytes_ -= BytesOfRecord(record);
  record.terms.claimed_id = id;
  bytes_ += BytesOfRecord(record);
  by_claim_.emplace(id, record.number);
}

void ReservationBook::End(ReservationRecord& record, Instant now) {
  PLIMSOLL_CHECK(!record.ended, record.number);
  record.ended = true;
  record.sequence.reset();
  record.prepared.reset();
  index_.SetEnded(record.number);
  --held_;
  ended_.push_back({.record = &record, .name_hash = record.name_hash, .when = now});
}

void ReservationBook::Forget(Instant now) {
  while (!ended_.empty()) {
    const Ended& oldest = ended_.front();
    if (bytes_ <= cap_ && oldest.when + kKeptAfterEnd > now) break;
    Erase(*oldest.record);
    ended_.pop_front();
  }
  PrefetchOldest();
}

// It ended long ago, so it is in no cache, and it goes with one of the next calls.
void ReservationBook::PrefetchOldest() const {
  if (ended_.empty()) return;
  constexpr size_t kLine = 64;
  const auto* const bytes = reinterpret_cast<const char*>(ended_.front().record);
  for (size_t at = 0; at < sizeof(ReservationRecord); at += kLine) __builtin_prefetch(bytes + at);
  by_request_.prefetch(HashedName{.hash = ended_.front().name_hash});
}

void ReservationBook::Remove(const ReservationRecord& record) {
  PLIMSOLL_CHECK(record.number == NextNumber() - 1, record.number, NextNumber());
  --held_;
  Erase(*index_.Find(record.number));
  index_.TakeBackLatest();
}

void ReservationBook::Erase(ReservationRecord& record) {
  bytes_ -= BytesOfRecord(record);
  if (!record.request.request_id.empty()) by_request_.erase(&record);
  if (!record.terms.claimed_id.empty()) by_claim_.erase(record.terms.claimed_id);
  index_.Remove(record.number);
  std::vector<uint64_t>().swap(record.request.prefix_hashes);  // may be long
  spare_.push_back(&record);
}

bool SameContent(const ReservationRequest& first, const ReservationRequest& repeat) {
  return first.tenant == repeat.tenant && first.prompt_tokens == repeat.prompt_tokens &&
         first.max_new_tokens == repeat.max_new_tokens && first.ttl == repeat.ttl &&
         first.prefix_hashes == repeat.prefix_hashes && first.priority == repeat.priority &&
         first.request_class == repeat.request_class && first.resumes == repeat.resumes;
}

}  // namespace plimsoll
