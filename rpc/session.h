// Sessions: what they hold, while the streams that have them come and go.
//
// While a stream has a session, nothing that it holds ends by itself. When the stream breaks, the
// leases run for the session's ttl, and a stream that shows the session's token takes it over, from
// the stream that has it too: a client notices before the server does that its connection is gone.
// A session without a stream is forgotten with the last that it holds.
//
// Invariant: whatever is in held() has this session as its keeper.
//
// Threads: everything is done under the admission lock, and nothing has a lock of its own.
// Cost: O(n log n) to open and to leave, of n that it holds; O(1) per reservation. Errors: none.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kvcache/admission/admission_controller.h"

namespace plimsoll {

class Sessions;

class Session final : public LeaseKeeper {
 public:
  // What has a session.
  class Stream {
   public:
    virtual ~Stream() = default;
    // Called from inside the controller: one ended, and not by Releasing.
    virtual void Revoked(int64_t number) = 0;
    // Another stream has the session now.
    virtual void Displaced(AdmissionController& admission) = 0;
  };

  const std::string& token() const { return token_; }
  Duration ttl() const { return ttl_; }
  std::vector<int64_t> held() const;  // in their order
  // Its stream is about to release this one, and needs not hear of that.
  void Releasing(int64_t number);

  void Keeps(int64_t number) override { held_.try_emplace(number, false); }
  void Ended(int64_t number, EndCause cause) override;

 private:
  friend class Sessions;
  Session(Sessions& sessions, std::string token) : sessions_(sessions), token_(std::move(token)) {}

  Sessions& sessions_;
  const std::string token_;
  Duration ttl_{};
  Stream* stream_ = nullptr;                 // null: none has it
  absl::flat_hash_map<int64_t, bool> held_;  // and whether its stream is releasing it
};

// How many sessions a stream has, and how many wait for one; written under the admission lock, read
// by anybody.
struct SessionCounts {
  std::atomic<int64_t> attached = 0;
  std::atomic<int64_t> detached = 0;
};

class Sessions {
 public:
  // `counts` outlives the sessions.
  explicit Sessions(SessionCounts& counts) : counts_(counts) {}

  struct Opened {
    Session* session;  // until Leave
    bool resumed;
  };

  // The session with this token, or a new one.
  Opened Open(AdmissionController& admission, const std::string& token, Duration ttl,
              Session::Stream& stream);
  // The stream is gone. Harmless where it does not have the session any more.
  void Leave(AdmissionController& admission, Session& session, const Session::Stream& stream);
  // Before the sessions go: what they hold lives on for its own ttl. No stream has one any more.
  void Forsake(AdmissionController& admission);

 private:
  friend class Session;
  void Forget(const std::string& token) { by_token_.erase(std::string(token)); }

  SessionCounts& counts_;
  std::unordered_map<std::string, std::unique_ptr<Session>> by_token_;
};

}  // namespace plimsoll
