// What a client holds, and under which names.
//
// A ledger that was started again gives what is claimed of it an id of its new life. Who was
// granted a reservation goes on calling it by the id that it was granted under, however often that
// happens; the later ids mean it too.
//
// Threads: none; the owner serialises calls. Cost: a look-up. Errors: an id that is not held is as
// if it had never been.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kvcache/admission/reservation.h"

namespace plimsoll {

class ClientHoldings {
 public:
  // Held from now on. Returns the id that it was granted under: another than its own where it is
  // one that was claimed.
  std::string Add(const Reservation& granted, const ReservationRequest& request);
  // The server that was started again calls it so from now on.
  void Claimed(const std::string& id, const std::string& id_now);
  // It may have so many tokens now.
  void Extended(const std::string& id, Tokens max_new_tokens);
  void Forget(const std::string& id);

  // The id that it was granted under; `id` itself where that is not held.
  std::string GrantedAs(const std::string& id) const;
  // What the server calls it; `id` itself where that is not held.
  std::string IdNow(const std::string& id) const;
  bool empty() const { return by_granted_id_.empty(); }
  bool Has(const std::string& id) const { return by_granted_id_.contains(GrantedAs(id)); }
  // Of all that is held, the ids that it was granted under.
  std::vector<std::string> GrantedIds() const;
  // What a server that was started again is told of it; it is held.
  const ReservationClaim& Claim(const std::string& id) const {
    return by_granted_id_.at(GrantedAs(id)).claim;
  }

 private:
  struct Holding {
    ReservationClaim claim;          // with the id of now
    std::vector<std::string> later;  // ids, this one included
  };

  std::map<std::string, Holding> by_granted_id_;
  std::map<std::string, std::string> granted_as_;  // by later ids
};

}  // namespace plimsoll
