// Who holds what, as values: a question, and a page of the answer.
//
// Threads: values. Errors: none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kvcache/admission/tenants.h"

namespace plimsoll {

struct PageWanted {
  int64_t size = 0;        // most entries, up to 1000; 0 means 100
  std::string token = {};  // empty, or that of the page before
};

struct ReservationPage {
  std::vector<Holding> reservations;
  std::string next_token;  // empty: this is the last
};

struct TenantPage {
  std::vector<TenantUse> tenants;  // by name
  bool departed = false;           // the last one stands for those who are no longer told apart
  std::string next_token;
};

}  // namespace plimsoll
