#include "kvcache/admission/reservation_book.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <random>
#include <utility>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr size_t kSpare = 64;

// About what one record occupies: itself, its strings, and its places in the indices, here and in
// the queues of what is held.
Bytes BytesOfRecord(const ReservationRecord& record) {
  constexpr size_t kIndices = 160;
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
  return NameOf(a->request) == NameOf(b->request);
}

std::unique_ptr<ReservationRecord> ReservationBook::Make(int64_t number,
                                                         const ReservationRequest& request,
                                                         const Terms& terms) {
  if (spare_.empty()) {
    return std::make_unique<ReservationRecord>(
        ReservationRecord{.number = number, .request = request, .terms = terms});
  }
  std::unique_ptr<ReservationRecord> record = std::move(spare_.back());
  spare_.pop_back();
  ReservationRequest copy = std::move(record->request);
  copy = request;  // where the other one's strings were
  *record = {.number = number, .request = std::move(copy), .terms = terms};
  return record;
}

ReservationRecord& ReservationBook::Add(const ReservationRequest& request, const Terms& terms) {
  const int64_t number = next_number_++;
  ReservationRecord& record = *records_.emplace(number, Make(number, request, terms)).first->second;
  if (!request.request_id.empty()) {
    record.name_hash = by_request_.hash_function()(NameOf(request));
    const bool fresh = by_request_.insert(&record).second;
    PLIMSOLL_CHECK(fresh, request.tenant, request.request_id);
  }
  held_.insert(held_.end(), number);
  bytes_ += BytesOfRecord(record);
  return record;
}

ReservationRecord* ReservationBook::Find(int64_t number) {
  const auto found = records_.find(number);
  return found == records_.end() ? nullptr : found->second.get();
}

const ReservationRecord* ReservationBook::Find(int64_t number) const {
  const auto found = records_.find(number);
  return found == records_.end() ? nullptr : found->second.get();
}

const ReservationRecord* ReservationBook::FindRequest(const ReservationRequest& request) const {
  if (request.request_id.empty()) return nullptr;
  const auto found = by_request_.find(NameOf(request));
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
  PLIMSOLL_CHECK(!record.ended.has_value(), record.number);
  record.ended = now;
  record.sequence.reset();
  record.prepared.reset();
  held_.erase(record.number);
  ended_.push_back(record.number);
}

void ReservationBook::Forget(Instant now) {
  while (!ended_.empty()) {
    const auto oldest = records_.find(ended_.front());
    const ReservationRecord& record = *oldest->second;
    if (bytes_ <= cap_ && *record.ended + kKeptAfterEnd > now) return;
    Erase(oldest);
    ended_.pop_front();
  }
}

void ReservationBook::Remove(const ReservationRecord& record) {
  PLIMSOLL_CHECK(record.number == next_number_ - 1, record.number, next_number_);
  --next_number_;
  Erase(records_.find(record.number));
}

void ReservationBook::Erase(Records::iterator place) {
  ReservationRecord& record = *place->second;
  bytes_ -= BytesOfRecord(record);
  if (!record.request.request_id.empty()) by_request_.erase(&record);
  held_.erase(record.number);
  if (!record.terms.claimed_id.empty()) by_claim_.erase(record.terms.claimed_id);
  if (spare_.size() < kSpare && record.request.prefix_hashes.capacity() == 0) {
    spare_.push_back(std::move(place->second));
  }
  records_.erase(place);
}

bool SameContent(const ReservationRequest& first, const ReservationRequest& repeat) {
  return first.tenant == repeat.tenant && first.prompt_tokens == repeat.prompt_tokens &&
         first.max_new_tokens == repeat.max_new_tokens && first.ttl == repeat.ttl &&
         first.prefix_hashes == repeat.prefix_hashes && first.priority == repeat.priority &&
         first.request_class == repeat.request_class && first.resumes == repeat.resumes;
}

}  // namespace plimsoll
