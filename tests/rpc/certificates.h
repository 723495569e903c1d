// An authority of a test's own, and the certificates that it signs, made by the openssl command.
//
// Threads: the test's. Cost: some 10 ms each. Errors: abort.
#pragma once

#include <string>
#include <vector>

#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {

struct IssuedFiles {
  std::string certificate, key;
};

class TestAuthority {
 public:
  TestAuthority() {
    std::vector<std::string> arguments = {"req", "-x509", "-out", certificate(), "-days", "2"};
    arguments.insert(arguments.end(), {"-keyout", folder_.File("ca.key"), "-subj", "/CN=test"});
    NewKey(std::move(arguments));
  }

  const std::string certificate() const { return folder_.File("ca.pem"); }

  // For 127.0.0.1 and localhost, valid from now for so many days; -1: until yesterday.
  IssuedFiles Issue(const std::string& name, int days = 2) const {
    const IssuedFiles files{folder_.File(name + ".pem"), folder_.File(name + ".key")};
    const std::string request = folder_.File(name + ".csr");
    NewKey({"req", "-out", request, "-keyout", files.key, "-subj", "/CN=" + name, "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost"});
    Run({"x509", "-req", "-in", request, "-CA", certificate(), "-CAkey", folder_.File("ca.key"),
         "-CAcreateserial", "-copy_extensions", "copy", "-days", std::to_string(days), "-out",
         files.certificate});
    return files;
  }

 private:
  static void NewKey(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(),
                     {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"});
    Run(std::move(arguments));
  }
  static void Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    const ProgramResult result = RunProgram(arguments);
    PLIMSOLL_CHECK(result.exit_code == 0, result.err);
  }

  TempDir folder_;
};

}  // namespace plimsoll
