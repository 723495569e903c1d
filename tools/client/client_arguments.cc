#include "tools/client/client_arguments.h"

#include "tools/client/security_arguments.h"
#include "tools/output_file.h"

namespace plimsoll {

void AddClientArguments(CLI::App& command, ClientArguments& arguments) {
  command.add_option("--server", arguments.server, "host:port or unix:/path")
      ->envname("PLIMSOLL_ADDR")
      ->capture_default_str();
  command.add_option("--format", arguments.format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command.add_option("-o,--output", arguments.output, "write to this file");
  AddSecurityArguments(command, arguments.security);
}

int Print(const std::string& text, const ClientArguments& arguments, int exit_code) {
  const absl::Status written = WriteOutput(arguments.output, text);
  return written.ok() ? exit_code : ReportError(written);
}

}  // namespace plimsoll
