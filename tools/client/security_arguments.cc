#include "tools/client/security_arguments.h"

namespace plimsoll {

void AddSecurityArguments(CLI::App& command, ClientSecurity& security) {
  command.add_flag("--tls", security.tls, "speak TLS, and trust whom this system trusts");
  command.add_option("--ca", security.ca, "speak TLS, and trust these authorities (PEM)");
  command.add_option("--cert", security.certificate, "our certificate, for a server that asks");
  command.add_option("--key", security.key, "its key");
  command.add_option("--token-file", security.token_file, "send the token in this file's line 1")
      ->envname("PLIMSOLL_TOKEN_FILE");
}

}  // namespace plimsoll
