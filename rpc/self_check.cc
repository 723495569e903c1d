#include "rpc/self_check.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "absl/synchronization/notification.h"
#include "rpc/status.h"

namespace plimsoll {

absl::Status CheckAnswers(const std::string& address, Duration limit) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  grpc::GenericStub stub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(limit));
  const grpc::Slice whole_server;  // an empty HealthCheckRequest
  const grpc::ByteBuffer request(&whole_server, 1);
  grpc::ByteBuffer response;
  grpc::Status outcome;
  absl::Notification done;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request, &response,
                 [&](grpc::Status status) {
                   outcome = std::move(status);
                   done.Notify();
                 });
  done.WaitForNotification();
  return FromGrpc(outcome);
}

}  // namespace plimsoll
