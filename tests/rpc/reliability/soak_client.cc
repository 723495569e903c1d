// A client process that a soak drives and kills: over one connection, some who call once for each
// step of a reservation's life, and some who send many such steps in one message, as busy routers
// do. Every call is recorded before it leaves and every answer after it came (history.h).
//
//   soak_client ADDRESS HISTORY CLIENT DECISIONS_PER_SECOND SECONDS SEED
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "tests/rpc/reliability/soak_process.h"

namespace plimsoll {
namespace {

// Of the decisions, a fifth is asked for one by one.
constexpr int kCallers = 6, kBatchers = 2;
constexpr double kOneByOne = 0.2;

int Run(const SoakArguments& arguments) {
  grpc::ChannelArguments channel;
  channel.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  channel.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  channel.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  channel.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  SoakProcess process{.arguments = arguments,
                      .log = HistoryLog(arguments.history),
                      .stub = v1::AdmissionService::NewStub(grpc::CreateCustomChannel(
                          arguments.address, grpc::InsecureChannelCredentials(), channel))};
  std::vector<std::thread> threads;
  for (int i = 0; i < kCallers; ++i) {
    threads.emplace_back(RunSoakCaller, std::ref(process), i,
                         arguments.rate * kOneByOne / kCallers);
  }
  for (int i = 0; i < kBatchers; ++i) {
    threads.emplace_back(RunSoakBatches, std::ref(process), i,
                         arguments.rate * (1 - kOneByOne) / kBatchers);
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

}  // namespace
}  // namespace plimsoll

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "soak_client: want ADDRESS HISTORY CLIENT RATE SECONDS SEED\n");
    return 2;
  }
  return plimsoll::Run({.address = argv[1],
                        .history = argv[2],
                        .client = std::atoll(argv[3]),
                        .rate = std::atof(argv[4]),
                        .seconds = std::atof(argv[5]),
                        .seed = static_cast<uint32_t>(std::atoll(argv[6]))});
}
