#include "rpc/library_logs.h"

#include <google/protobuf/stubs/common.h>
#include <grpcpp/version_info.h>

#include <cstdlib>

#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 66
#include <grpc/support/log.h>
#endif
#if GOOGLE_PROTOBUF_VERSION < 4022000
#include <google/protobuf/stubs/logging.h>
#endif

namespace plimsoll {
namespace {

#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 66
void SilenceGrpc() {
  gpr_set_log_function([](gpr_log_func_args*) {});
}
#else
void SilenceGrpc() {}
#endif

#if GOOGLE_PROTOBUF_VERSION < 4022000
void SilenceProtobuf() { google::protobuf::SetLogHandler(nullptr); }
#else
void SilenceProtobuf() {}
#endif

}  // namespace

void SilenceLibraries() {
  if (std::getenv("GRPC_VERBOSITY") != nullptr) return;
  SilenceGrpc();
  SilenceProtobuf();
}

}  // namespace plimsoll
