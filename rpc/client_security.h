// What a client proves itself with, and how it knows its server.
//
// Threads: a value. Cost: none. Errors: none.
#pragma once

#include <string>

namespace plimsoll {

// But for the token itself, all texts are paths of files; those of certificates and keys hold PEM.
// A Unix socket is plaintext whatever they say: it does not leave this machine.
struct ClientSecurity {
  bool tls = false;     // speak TLS; implied by those that follow
  std::string ca = {};  // whose certificates a server may have; empty: those the system trusts
  std::string certificate = {};  // ours and its key, for a server that asks
  std::string key = {};
  std::string token_file = {};  // its first line is sent with each call
  std::string token = {};       // in place of a file: the token itself
  bool insecure = false;        // send the token beyond this machine though others could read it

  bool has_token() const { return !token_file.empty() || !token.empty(); }
  bool wants_tls() const { return tls || !ca.empty() || !certificate.empty() || !key.empty(); }
};

}  // namespace plimsoll
