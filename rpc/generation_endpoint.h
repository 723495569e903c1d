// GenerationService: a stream of tokens under a reservation.
//
// Threads: gRPC's, the loop's and the housekeeper's. The loop only queues tokens; a reader who is
// slow gets them in larger messages. Each call ends with a load report (orca_endpoint.h).
// Cost: the queue holds at most max_new_tokens. Errors: as the proto says.
#pragma once

#include "plimsoll/v1/generation.grpc.pb.h"
#include "rpc/orca_endpoint.h"
#include "rpc/served.h"

namespace plimsoll {

class GenerationEndpoint final : public v1::GenerationService::CallbackService {
 public:
  explicit GenerationEndpoint(const Served& served) : served_(served) {}

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(grpc::CallbackServerContext* context,
                                                           const v1::GenerateRequest* in) override;

 private:
  const Served& served_;
  LoadTrailer load_{served_};
};

}  // namespace plimsoll
