// Calls of the C interface in any order: pools with and without admission, handles that are null,
// gone or nonsense, structures of other sizes, buffers that are too small. No call does more than
// its header allows, each says a known code, and a failure a line; pools stay conserved.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kvcache/base/check.h"
#include "kvcache/c/plimsoll.h"
#include "tests/fuzz/c_memory.h"
#include "tests/fuzz/choices.h"
#include "tests/fuzz/judge.h"
#include "tests/fuzz/small_model.h"

namespace plimsoll {
namespace {

constexpr int64_t kMostBlocks = 96;
constexpr size_t kMostSequences = 6;

class Program {
 public:
  explicit Program(Choices& choices) : choices_(choices) {}
  ~Program() {
    for (plimsoll_pool* pool : pools_) Must(plimsoll_pool_destroy(pool, nullptr));
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void Step() {
    using P = Program;
    static constexpr std::array<void (P::*)(), 25> kMoves = {
        &P::Create,        &P::Destroy,     &P::Find,          &P::Begin,  &P::Begin,
        &P::BeginReserved, &P::Append,      &P::Append,        &P::Append, &P::Append,
        &P::Truncate,      &P::Fork,        &P::Name,          &P::Get,    &P::Table,
        &P::Table,         &P::EndSequence, &P::Ask,           &P::Ask,    &P::Ask,
        &P::TakeAnswer,    &P::Release,     &P::ExtendOrRenew, &P::Govern, &P::Snapshot};
    (this->*choices_.Of(kMoves))();
  }
  void Judge() {
    for (plimsoll_pool* pool : pools_) {
      plimsoll_snapshot now{};
      now.struct_size = sizeof(now);
      Must(plimsoll_pool_snapshot(pool, &now, nullptr));
      const int64_t sum =
          now.live_blocks + now.cached_blocks + now.reserved_blocks + now.free_blocks;
      PLIMSOLL_CHECK(sum == now.total_blocks, sum, now.total_blocks);
      PLIMSOLL_CHECK(now.free_blocks >= 0 && now.sequences >= 0, now.free_blocks);
    }
  }

 private:
  static void Must(plimsoll_code code) { PLIMSOLL_CHECK(code == PLIMSOLL_OK, code); }

  // Whether it succeeded; a failure is known and says why.
  template <class Call>
  bool Try(const Call& call) {
    static constexpr std::array<size_t, 5> kRooms = {0, 1, 2, 40, 400};
    Text error(choices_.Of(kRooms));
    const plimsoll_code code = call(error.get());
    static constexpr std::array kCodes = {PLIMSOLL_OK,
                                          PLIMSOLL_INVALID_ARGUMENT,
                                          PLIMSOLL_NOT_FOUND,
                                          PLIMSOLL_RESOURCE_EXHAUSTED,
                                          PLIMSOLL_FAILED_PRECONDITION,
                                          PLIMSOLL_OUT_OF_RANGE};
    PLIMSOLL_CHECK(std::find(kCodes.begin(), kCodes.end(), code) != kCodes.end(), code);
    PLIMSOLL_CHECK(*plimsoll_code_name(code) != '\0', code);
    const std::string line = error.Written();
    if (code != PLIMSOLL_OK && !line.empty()) JudgeRefusal(absl::InvalidArgumentError(line));
    return code == PLIMSOLL_OK;
  }

  plimsoll_pool* Pool() {
    const int64_t kind = choices_.Below(32);
    if (kind == 31) return nullptr;
    if (kind == 30) return gone_;
    if (kind == 29) return reinterpret_cast<plimsoll_pool*>(uintptr_t{0x5EED});
    if (pools_.empty()) Create();
    return pools_.empty() ? nullptr : pools_[static_cast<size_t>(kind) % pools_.size()];
  }
  struct Place {
    plimsoll_pool* pool;
    int64_t sequence;
  };
  // As a rule one that is there.
  Place Sequence() {
    const int64_t kind = choices_.Below(32);
    if (kind == 31 || sequences_.empty()) return {Pool(), choices_.Number(40)};
    return sequences_[static_cast<size_t>(choices_.Below(256)) % sequences_.size()];
  }
  const char* Id() {
    static constexpr std::array<const char*, 4> kOthers = {"e0-1", "", "e1-", "e1-999"};
    if (choices_.OneIn(30)) return nullptr;
    if (ids_.empty() || choices_.OneIn(12)) return choices_.Of(kOthers);
    return ids_[static_cast<size_t>(choices_.Below(256)) % ids_.size()].c_str();
  }

  void Create() {
    static constexpr std::array<const char*, 6> kEvictions = {nullptr, "off",     "fifo",
                                                              "lru",   "learned", "no such"};
    static constexpr std::array<int64_t, 4> kBadBlocks = {0, -1, int64_t{1} << 31, INT64_MAX};
    if (pools_.size() == 2) return;
    Sized<plimsoll_pool_options> options(choices_);
    options.value().blocks =
        choices_.OneIn(20) ? choices_.Of(kBadBlocks) : 1 + choices_.Below(kMostBlocks);
    if (choices_.OneIn(3)) options.value().block_tokens = int64_t{1} << choices_.Below(5);
    if (choices_.OneIn(20)) options.value().block_tokens = choices_.Number(1024);
    options.value().eviction = choices_.Of(kEvictions);
    Sized<plimsoll_admission_options> admission(choices_);
    const plimsoll_class other{
        .name = "w", .policy = "watermark", .watermark = 0.1, .overflow_goal = 0};
    const plimsoll_quota quota{
        .tenant = "a", .guaranteed = choices_.Number(4), .most = choices_.Number(kMostBlocks)};
    admission.value().epoch = "e1";
    if (choices_.OneIn(3)) admission.value().default_ttl_ns = choices_.Number(1'000'000'000);
    if (choices_.OneIn(3)) admission.value().confirm_window_ns = choices_.Number(1'000'000'000);
    if (choices_.OneIn(3)) admission.value().max_waiting = choices_.Number(4);
    admission.value().classes = &other;
    admission.value().class_count = static_cast<size_t>(choices_.Below(2));
    admission.value().quotas = &quota;
    admission.value().quota_count = static_cast<size_t>(choices_.Below(2));
    admission.value().caller_clock = 1;
    plimsoll_pool* pool = nullptr;
    plimsoll_admission_options* const with = choices_.OneIn(2) ? admission.get() : nullptr;
    if (Try([&](auto* e) { return plimsoll_pool_create(options.get(), with, &pool, e); })) {
      pools_.push_back(pool);
    }
  }
  void Destroy() {
    if (!choices_.OneIn(8)) return;
    plimsoll_pool* const pool = Pool();
    if (!Try([&](auto* e) { return plimsoll_pool_destroy(pool, e); })) return;
    std::erase(pools_, pool);
    std::erase_if(sequences_, [pool](const Place& at) { return at.pool == pool; });
    gone_ = pool;
  }

  // Alive until the next one is made.
  plimsoll_prompt* Prompt() {
    static constexpr std::array<const char*, 3> kSalts = {nullptr, "a", "b"};
    if (choices_.OneIn(4)) return nullptr;
    prompt_.emplace_back(std::make_unique<Sized<plimsoll_prompt>>(choices_));
    plimsoll_prompt& prompt = prompt_.back()->value();
    prompt.salt = choices_.Of(kSalts);
    const int64_t kind = choices_.Below(8);
    if (kind < 5) prompt.tokens = kTokens.data();
    if (kind < 5) prompt.token_count = static_cast<size_t>(choices_.Below(kTokens.size() + 1));
    if (kind >= 4) prompt.hashes = kHashes.data() + choices_.Below(2);
    if (kind >= 4) prompt.hash_count = static_cast<size_t>(choices_.Below(kHashes.size()));
    return prompt_.back()->get();
  }
  void Find() {
    int64_t blocks = -1;
    plimsoll_pool* const pool = Pool();
    Try([&](auto* e) { return plimsoll_pool_find(pool, Prompt(), &blocks, e); });
  }
  void Note(plimsoll_pool* pool, bool ok, const plimsoll_sequence& sequence) {
    if (!ok || sequence.id == 0) return;
    if (sequences_.size() == kMostSequences) sequences_.pop_front();
    sequences_.push_back({pool, sequence.id});
  }
  void Begin() {
    Sized<plimsoll_sequence> sequence(choices_);
    plimsoll_pool* const pool = Pool();
    const int64_t total = choices_.Number(kMostBlocks * 4);
    Note(pool, Try([&](auto* e) {
           return plimsoll_sequence_begin(pool, Prompt(), total, sequence.get(), e);
         }),
         sequence.value());
  }
  void BeginReserved() {
    Sized<plimsoll_sequence> sequence(choices_);
    plimsoll_pool* const pool = Pool();
    const char* const id = Id();
    Note(pool, Try([&](auto* e) {
           return plimsoll_sequence_begin_reserved(pool, id, sequence.get(), e);
         }),
         sequence.value());
  }
  void Append() {
    Sized<plimsoll_block_copy> copy(choices_);
    const Place at = Sequence();
    const int64_t tokens = choices_.Number(64);
    const int64_t lookahead = choices_.OneIn(3) ? choices_.Number(8) : 0;
    Try([&](auto* e) {
      return plimsoll_sequence_append(at.pool, at.sequence, tokens, lookahead, copy.get(), e);
    });
  }
  void Truncate() {
    const Place at = Sequence();
    const int64_t length = choices_.Number(64);
    Try([&](auto* e) { return plimsoll_sequence_truncate(at.pool, at.sequence, length, e); });
  }
  void Fork() {
    Sized<plimsoll_sequence> fork(choices_);
    const Place at = Sequence();
    const int64_t total = choices_.Number(kMostBlocks * 4);
    Note(at.pool, Try([&](auto* e) {
           return plimsoll_sequence_fork(at.pool, at.sequence, total, fork.get(), e);
         }),
         fork.value());
  }
  void Name() {
    const Place at = Sequence();
    Try([&](auto* e) { return plimsoll_sequence_name(at.pool, at.sequence, Prompt(), e); });
  }
  void Get() {
    Sized<plimsoll_sequence> state(choices_);
    const Place at = Sequence();
    Try([&](auto* e) { return plimsoll_sequence_get(at.pool, at.sequence, state.get(), e); });
  }
  // With just enough room, one too little, or any.
  void Table() {
    const Place at = Sequence();
    plimsoll_sequence state{};
    state.struct_size = sizeof(state);
    const bool known = plimsoll_sequence_get(at.pool, at.sequence, &state, nullptr) == PLIMSOLL_OK;
    const auto exact = static_cast<size_t>(known ? state.blocks : 0);
    const int64_t kind = choices_.Below(16);
    const size_t room = kind < 6 ? exact : kind < 12 && exact > 0 ? exact - 1 : size_t(kind);
    std::vector<int32_t> blocks(room + 2, -7);
    size_t count = 0;
    const bool ok = Try([&](auto* e) {
      return plimsoll_sequence_table(at.pool, at.sequence, blocks.data(), room, &count, e);
    });
    PLIMSOLL_CHECK(ok == (known && exact <= room), exact, room);
    for (size_t i = 0; i < blocks.size(); ++i) {
      const bool written = ok && i < exact;
      PLIMSOLL_CHECK(written ? blocks[i] >= 0 && blocks[i] < kMostBlocks : blocks[i] == -7, i,
                     blocks[i]);
    }
  }
  void EndSequence() {
    const Place at = Sequence();
    Try([&](auto* e) { return plimsoll_sequence_end(at.pool, at.sequence, e); });
  }

  plimsoll_request* Request(Sized<plimsoll_request>& sized) {
    static constexpr std::array<const char*, 4> kIds = {nullptr, "", "r1", "r2"};
    static constexpr std::array<const char*, 3> kTenants = {nullptr, "a", "b"};
    static constexpr std::array<const char*, 4> kClasses = {nullptr, "", "w", "no such"};
    plimsoll_request& request = sized.value();
    request.request_id = choices_.Of(kIds);
    request.tenant = choices_.Of(kTenants);
    request.request_class = choices_.Of(kClasses);
    if (choices_.OneIn(10)) request.resumes = Id();
    request.prompt_tokens = choices_.Number(kMostBlocks * 8);
    if (choices_.OneIn(2)) request.max_new_tokens = choices_.Number(kMostBlocks * 8);
    if (choices_.OneIn(3)) request.ttl_ns = choices_.Number(int64_t{1} << 32);
    if (choices_.OneIn(3)) request.prefix_hashes = kHashes.data();
    if (choices_.OneIn(3)) request.prefix_hash_count = static_cast<size_t>(choices_.Below(6));
    request.priority = static_cast<int32_t>(choices_.Below(7)) - 3;
    return choices_.OneIn(40) ? nullptr : sized.get();
  }
  void Note(bool ok, Sized<plimsoll_answer>& answer) {
    if (!ok || !answer.whole()) return;
    const plimsoll_answer& said = answer.value();
    PLIMSOLL_CHECK(said.decision >= PLIMSOLL_ADMITTED && said.decision <= PLIMSOLL_NEVER);
    PLIMSOLL_CHECK(memchr(said.reservation_id, '\0', sizeof(said.reservation_id)) != nullptr);
    if (said.decision != PLIMSOLL_ADMITTED) {
      PLIMSOLL_CHECK(*plimsoll_reason_name(said.reason) != '\0', said.reason);
    } else if (*said.reservation_id != '\0') {
      ids_.emplace_back(said.reservation_id);
    }
  }
  void Ask() {
    Sized<plimsoll_request> sized(choices_);
    Sized<plimsoll_answer> answer(choices_);
    plimsoll_request* const request = Request(sized);
    plimsoll_pool* const pool = Pool();
    const int64_t wait = choices_.Number(1'000'000'000);
    int64_t ticket = 0;
    const int64_t kind = choices_.Below(4);
    const bool ok = Try([&](auto* e) {
      if (kind == 0) return plimsoll_can_admit(pool, request, answer.get(), e);
      if (kind > 1) return plimsoll_reserve(pool, request, answer.get(), e);
      return plimsoll_reserve_or_wait(pool, request, wait, &ticket, answer.get(), e);
    });
    if (ok && ticket != 0) tickets_.push_back(ticket);
    if (ticket == 0) Note(ok, answer);
  }
  void TakeAnswer() {
    Sized<plimsoll_answer> answer(choices_);
    plimsoll_pool* const pool = Pool();
    int64_t ticket = tickets_.empty() ? choices_.Number(5) : tickets_.back();
    if (choices_.OneIn(3)) {
      Try([&](auto* e) { return plimsoll_cancel_wait(pool, ticket, e); });
    } else {
      Note(Try([&](auto* e) { return plimsoll_take_answer(pool, &ticket, answer.get(), e); }),
           answer);
    }
  }
  void ExtendOrRenew() {
    Sized<plimsoll_answer> answer(choices_);
    plimsoll_pool* const pool = Pool();
    const char* const id = Id();
    const int64_t total = choices_.Number(kMostBlocks * 16);
    const bool renew = choices_.OneIn(2);
    Note(Try([&](auto* e) {
           return renew ? plimsoll_renew(pool, id, answer.get(), e)
                        : plimsoll_extend(pool, id, total, answer.get(), e);
         }),
         answer);
  }
  void Release() {
    plimsoll_pool* const pool = Pool();
    const char* const id = Id();
    Try([&](auto* e) { return plimsoll_release(pool, id, e); });
  }
  // What is done to the whole.
  void Govern() {
    switch (choices_.Below(6)) {
      case 0:
        return Drain();
      case 1:
        return choices_.OneIn(4) ? Plan() : MoveTime();
      default:
        return MoveTime();
    }
  }
  void MoveTime() {
    plimsoll_pool* const pool = Pool();
    if (choices_.OneIn(2)) now_ += choices_.Below(256) * 100'000'000;
    const int64_t when = choices_.OneIn(20) ? choices_.Number(1'000'000) : now_;
    int64_t next = 0;
    if (Try([&](auto* e) { return plimsoll_set_time(pool, when, e); })) {
      now_ = std::max(now_, when);
    }
    Try([&](auto* e) { return plimsoll_tick(pool, &next, e); });
  }
  void Drain() {
    plimsoll_pool* const pool = Pool();
    const auto draining = static_cast<int32_t>(choices_.Below(3));
    Try([&](auto* e) { return plimsoll_set_draining(pool, draining, e); });
  }
  void Snapshot() {
    Sized<plimsoll_snapshot> snapshot(choices_);
    plimsoll_pool* const pool = Pool();
    Try([&](auto* e) { return plimsoll_pool_snapshot(pool, snapshot.get(), e); });
  }
  void Plan() {
    static constexpr std::array<size_t, 3> kRooms = {0, 100, 100'000};
    static constexpr std::array<const char*, 4> kOptions = {
        R"({"memory": "1GiB"})", R"({"gpu": "h100", "contexts": [1, 4096], "weights": "int4"})",
        R"({"memory": 1000, "margin": -1})", "{"};
    const std::string model(choices_.OneIn(3) ? choices_.Bytes() : std::string_view(kSmallModel));
    const std::string options(choices_.OneIn(3) ? choices_.Bytes()
                                                : std::string_view(choices_.Of(kOptions)));
    Text plan(choices_.Of(kRooms));
    const bool ok =
        Try([&](auto* e) { return plimsoll_plan(model.c_str(), options.c_str(), plan.get(), e); });
    PLIMSOLL_CHECK(!ok || plan.Written().size() == plan.length(), plan.length());
  }

  static constexpr std::array<int32_t, 40> kTokens = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  static constexpr std::array<uint64_t, 9> kHashes = {11, 12, 13, 14, 15, 16, 17, 18, 19};

  Choices& choices_;
  std::vector<plimsoll_pool*> pools_;
  plimsoll_pool* gone_ = nullptr;
  std::vector<std::unique_ptr<Sized<plimsoll_prompt>>> prompt_;
  std::deque<Place> sequences_;
  std::vector<int64_t> tickets_;
  std::vector<std::string> ids_;
  int64_t now_ = 0;
};

}  // namespace
}  // namespace plimsoll

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  Choices choices(data, size);
  Program program(choices);
  while (!choices.over()) {
    program.Step();
    program.Judge();
  }
  return 0;
}
