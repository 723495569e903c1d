// Any bytes as a request to the HTTP port, or a request that is made of choices: a method, a path,
// a Host, what was seen last. Every answer is one whole answer of a known kind; none but GET and
// HEAD to a Host of ours gets anything.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kvcache/base/check.h"
#include "rpc/address.h"
#include "rpc/descriptor.h"
#include "rpc/http_endpoint.h"
#include "tests/fuzz/choices.h"
#include "tests/fuzz/driven_service.h"

namespace plimsoll {
namespace {

// One for all inputs; it has no state that requests change.
struct Port {
  Port() : http(*HttpEndpoint::Start({.address = "127.0.0.1:0"}, service.served())) {}
  DrivenService service{Learning::kNever, {}};
  std::unique_ptr<HttpEndpoint> http;
};

sockaddr_in AddressOf(const std::string& text) {
  const HostPort where = *ParseHostPort(text);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(where.port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// All that is answered to these bytes and the end of what is sent.
std::string AnswerTo(const std::string& bytes, const sockaddr_in& server) {
  const Descriptor connection(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // Closed without a trace, or the ports are used up soon.
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  const int connected = connect(connection.get(), reinterpret_cast<const sockaddr*>(&server),
                                static_cast<socklen_t>(sizeof(server)));
  PLIMSOLL_CHECK(connected == 0, errno);
  send(connection.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  shutdown(connection.get(), SHUT_WR);
  std::string said;
  std::array<char, 65536> buffer;
  for (ssize_t n = 0; (n = recv(connection.get(), buffer.data(), buffer.size(), 0)) > 0;) {
    said.append(buffer.data(), static_cast<size_t>(n));
  }
  return said;
}

// The status of a whole answer; 0 where the connection just ended.
int JudgeAnswer(const std::string& said) {
  if (said.empty()) return 0;
  PLIMSOLL_CHECK(said.rfind("HTTP/1.1 ", 0) == 0, said.substr(0, 100));
  const size_t head = said.find("\r\n\r\n");
  PLIMSOLL_CHECK(head != std::string::npos, said.substr(0, 100));
  PLIMSOLL_CHECK(said.find("\r\nContent-Security-Policy: ") < head, said.substr(0, head));
  const int status = std::stoi(said.substr(9, 3));
  constexpr std::array kKnown = {200, 206, 400, 403, 404, 405, 413, 414, 416, 417, 503};
  PLIMSOLL_CHECK(std::find(kKnown.begin(), kKnown.end(), status) != kKnown.end(), status);
  return status;
}

// Whether it may be an address, or is localhost, by its letters alone.
bool MayBeOurs(std::string host) {
  std::erase_if(host, [](char c) { return c == ' ' || c == '\t'; });
  const bool address = host.find_first_not_of("0123456789abcdefABCDEF.:[]") == std::string::npos;
  for (char& c : host) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return address || host.substr(0, host.find(':')) == "localhost";
}

std::string OneLine(std::string_view bytes) {
  std::string text(bytes);
  // httplib decodes what follows a '%', also in a header.
  std::erase_if(text, [](char c) { return c == '\r' || c == '\n' || c == '\0' || c == '%'; });
  return text;
}

void Ask(Choices& choices, const sockaddr_in& server) {
  static constexpr std::array<const char*, 6> kMethods = {"GET",  "GET",    "HEAD",
                                                          "POST", "DELETE", "OPTIONS"};
  static constexpr std::array<const char*, 12> kPaths = {
      "/",          "/healthz",      "/readyz",         "/metrics",        "/api/v1/capacity",
      "/charts.js", "/api/v1/state", "/api/v1/holders", "/api/v1/history", "/api/v1/server",
      "/icon.svg",  "/api/v1/watch"};
  static constexpr std::array<const char*, 6> kHosts = {"127.0.0.1", "localhost:80", "evil.example",
                                                        "[::1]:1",   "localhost.x",  "127.0.0.1.x"};
  const std::string method = choices.Of(kMethods);
  std::string path = choices.Of(kPaths);
  if (choices.OneIn(3)) path += OneLine(choices.Bytes());
  const std::string host =
      choices.OneIn(2) ? OneLine(choices.Bytes()) : std::string(choices.Of(kHosts));
  std::string request = method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\n";
  if (choices.OneIn(3)) request += "Last-Event-ID: " + OneLine(choices.Bytes()) + "\r\n";
  if (choices.OneIn(3)) request += "Range: bytes=" + OneLine(choices.Bytes()) + "\r\n";
  if (choices.OneIn(3)) request += OneLine(choices.Bytes()) + "\r\n";
  const int status = JudgeAnswer(AnswerTo(request + "\r\n", server));
  const bool read_only = method == "GET" || method == "HEAD";
  PLIMSOLL_CHECK(status != 200 || (read_only && MayBeOurs(host)), status, method, host);
}

}  // namespace
}  // namespace plimsoll

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  static auto* const served = new Port();  // as long as the process, and its threads
  static const sockaddr_in address = AddressOf(served->http->address());
  Choices choices(data, size);
  if (choices.OneIn(2)) {
    Ask(choices, address);
  } else if (size > 1) {
    JudgeAnswer(AnswerTo(std::string(reinterpret_cast<const char*>(data) + 1, size - 1), address));
  }
  return 0;
}
