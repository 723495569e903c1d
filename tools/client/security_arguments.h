// How a client's command proves itself and knows its server: --tls, --ca, --cert, --key and
// --token-file.
//
// Threads: a value. Cost: none. Errors: none; Client::Create reads what they name.
#pragma once

#include <CLI/CLI.hpp>

#include "rpc/client_security.h"

namespace plimsoll {

void AddSecurityArguments(CLI::App& command, ClientSecurity& security);

}  // namespace plimsoll
