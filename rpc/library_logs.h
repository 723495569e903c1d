// What gRPC and protobuf print on standard error by themselves.
//
// Threads: call before the first server or client. Cost: none. Errors: none.
#pragma once

namespace plimsoll {

// Turns it off, unless the environment sets GRPC_VERBOSITY: what matters is in our statuses, and a
// hostile caller could fill a log with lines about bad messages. Libraries that log through
// Abseil, which is all of them from 2024 on, follow its settings instead.
void SilenceLibraries();

}  // namespace plimsoll
