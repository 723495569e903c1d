// The client through its C interface, as its tests use it.
//
// Threads: the test's. Cost: a call. Errors: a client that cannot be opened or closed fails the
// test.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "rpc/c/plimsoll_client.h"
#include "tests/support/c_interface.h"

namespace plimsoll {

inline constexpr int64_t kSecond = 1'000'000'000;

class CClient {
 public:
  explicit CClient(plimsoll_client_options options) {
    options.struct_size = sizeof options;
    Line why;
    EXPECT_EQ(plimsoll_client_open(&options, &client, &why), PLIMSOLL_OK) << why.text();
  }
  explicit CClient(const std::string& server)
      : CClient(plimsoll_client_options{.server = server.c_str()}) {}
  ~CClient() { EXPECT_EQ(plimsoll_client_close(client, nullptr), PLIMSOLL_OK); }
  CClient(const CClient&) = delete;
  CClient& operator=(const CClient&) = delete;

  plimsoll_code Reserve(int64_t prompt, plimsoll_answer& answer, plimsoll_text* why = nullptr) {
    const auto request = Sized<plimsoll_request>({.struct_size = 0, .prompt_tokens = prompt});
    answer = Sized<plimsoll_answer>();
    return plimsoll_client_reserve(client, &request, 0, &answer, why);
  }
  plimsoll_capacity Capacity() {
    auto capacity = Sized<plimsoll_capacity>();
    Line why;
    EXPECT_EQ(plimsoll_client_get_capacity(client, &capacity, &why), PLIMSOLL_OK) << why.text();
    return capacity;
  }

  plimsoll_client* client = nullptr;
};

inline std::vector<std::string> Ledger(const std::string& address = "127.0.0.1:0",
                                       const std::string& blocks = "10",
                                       const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"--device", "none",  "--blocks", blocks,
                                        "--listen", address, "--http",   "127.0.0.1:0"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace plimsoll
