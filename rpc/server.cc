#include "rpc/server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "kvcache/base/errors.h"
#include "rpc/accept_loop.h"
#include "rpc/address.h"
#include "rpc/admin_endpoint.h"
#include "rpc/admission_endpoint.h"
#include "rpc/capacity_endpoint.h"
#include "rpc/device_watch.h"
#include "rpc/doors.h"
#include "rpc/generation_endpoint.h"
#include "rpc/library_logs.h"
#include "rpc/listening_socket.h"
#include "rpc/orca_endpoint.h"
#include "rpc/self_check.h"
#include "rpc/served.h"
#include "rpc/token_gate.h"

namespace plimsoll {
namespace {

// Reflection on or off, whatever libraries linked into the program ask for.
class ReflectionChoice final : public grpc::ServerBuilderOption {
 public:
  explicit ReflectionChoice(bool wanted) : wanted_(wanted) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins,
                  [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
    if (!wanted_) return;
    plugins->push_back(std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>());
  }

 private:
  const bool wanted_;
};

void LimitWhatOneCallerCosts(grpc::ServerBuilder& builder, Duration handshake) {
  builder.SetMaxReceiveMessageSize(1 << 20);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder.AddChannelArgument(
      GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
      static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(handshake).count()));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
}

void NoticeCallersWhoVanish(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
}

// gRPC counts for this in each call, at the price of a microsecond. Of this machine's processes no
// connection outlives its owner, and one who hangs is noticed as all who vanish are.
void EndConnectionsInTime(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 5 * 60'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 60 * 60'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 10 * 60'000);
}

// gRPC's local credentials, which check tokens in plaintext, take 127.0.0.1 and ::1 alone.
bool TakesTokensInPlaintext(const ListeningSocket& socket) {
  if (socket.reach() == ListeningSocket::Reach::kUnix) return true;
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&name), &size);
  if (name.ss_family == AF_INET6) return socket.reach() == ListeningSocket::Reach::kLoopback;
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(name);
  return ntohl(v4.sin_addr.s_addr) == INADDR_LOOPBACK;
}

absl::Status CheckReach(const ListeningSocket& socket, const ServerOptions& options) {
  if (options.tls.given()) return absl::OkStatus();
  const bool beyond = socket.reach() == ListeningSocket::Reach::kNetwork;
  const std::string where = "cannot listen on " + socket.address() + ": ";
  if (options.tokens && !beyond && !TakesTokensInPlaintext(socket)) {
    return absl::InvalidArgumentError(where +
                                      "of this machine's addresses, only 127.0.0.1 and ::1 take "
                                      "tokens in plaintext; give --tls-certificate");
  }
  if (!beyond) return absl::OkStatus();
  if (options.tokens) {
    return absl::InvalidArgumentError(where + "tokens could be read there; give --tls-certificate");
  }
  if (options.insecure) return absl::OkStatus();
  return absl::InvalidArgumentError(where +
                                    "other machines could read and change what is said there; "
                                    "give --tls-certificate, listen on 127.0.0.1 or a Unix socket, "
                                    "or say --insecure");
}

// All sockets of all addresses; `addresses` gets one of each address, with its port.
absl::StatusOr<std::vector<ListeningSocket>> ListenOnAll(const ServerOptions& options,
                                                         std::vector<std::string>& addresses) {
  for (const std::string& address : options.listen) {
    PLIMSOLL_RETURN_IF_ERROR(CheckAddress(address));
  }
  std::vector<ListeningSocket> all;
  for (const int fd : options.listening) {
    absl::StatusOr<ListeningSocket> socket = TakeListening(fd);
    if (!socket.ok()) return socket.status();
    PLIMSOLL_RETURN_IF_ERROR(CheckReach(*socket, options));
    addresses.push_back(socket->address());
    all.push_back(*std::move(socket));
  }
  for (const std::string& address : options.listen) {
    absl::StatusOr<std::vector<ListeningSocket>> sockets = ListenOn(address);
    if (!sockets.ok()) return sockets.status();
    addresses.push_back(sockets->front().address());
    for (ListeningSocket& socket : *sockets) {
      PLIMSOLL_RETURN_IF_ERROR(CheckReach(socket, options));
      all.push_back(std::move(socket));
    }
  }
  return all;
}

}  // namespace

struct Server::State {
  State(const ServerOptions& options, SharedAdmission& admission, const Clock& clock,
        GenerationLoop* loop)
      : housekeeper(admission, clock),
        health(std::make_shared<HealthMonitor>(admission, clock, loop)),
        draining(admission),
        served{.admission = admission,
               .clock = clock,
               .housekeeper = housekeeper,
               .loop = loop,
               .identity = {.pool = options.pool,
                            .epoch = options.info.epoch,
                            .block_tokens = options.block_tokens,
                            .block_bytes = options.block_bytes,
                            .snapshot = {}},
               .info = options.info,
               .resize = options.resize,
               .memory = options.memory,
               .health = *health,
               .decisions = decisions,
               .sessions = sessions,
               .started = clock.WallNow(),
               .draining = draining,
               .planner = options.planner,
               .log = options.log},
        device_watch(std::make_shared<DeviceWatch>(served, options.log)) {
    housekeeper.Watch(health);
  }

  // The housekeeper goes last, so that calls that are cut off still get their end.
  Housekeeper housekeeper;
  const std::shared_ptr<HealthMonitor> health;
  DurationHistogram decisions;
  SessionCounts sessions;
  Draining draining;
  Served served;
  const std::shared_ptr<DeviceWatch> device_watch;
  AdmissionEndpoint admission_endpoint{served};
  CapacityEndpoint capacity_endpoint{served};
  GenerationEndpoint generation_endpoint{served};
  AdminEndpoint admin_endpoint{served};
  OrcaEndpoint orca_endpoint{served};
  std::vector<std::string> addresses;
  std::string own_address;  // for calls to ourselves
  // Before a connection is accepted: each hands to, or is asked by, the one before.
  std::unique_ptr<ServerCertificates> certificates;
  std::unique_ptr<TokenGate> gate;
  std::unique_ptr<Doors> doors;
  std::unique_ptr<grpc::Server> grpc;
  std::unique_ptr<AcceptLoop> accepting;
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() { Stop(); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      SharedAdmission& admission,
                                                      const Clock& clock, GenerationLoop* loop) {
  SilenceLibraries();
  grpc::EnableDefaultHealthCheckService(true);
  auto state = std::make_unique<State>(options, admission, clock, loop);
  absl::StatusOr<std::vector<ListeningSocket>> sockets = ListenOnAll(options, state->addresses);
  if (!sockets.ok()) return sockets.status();
  absl::StatusOr<ListeningSocket> ourselves = ListenToOurselves();
  if (!ourselves.ok()) return ourselves.status();
  state->own_address = ourselves->address();
  sockets->push_back(*std::move(ourselves));
  if (options.tls.given()) {
    absl::StatusOr<std::unique_ptr<ServerCertificates>> loaded =
        ServerCertificates::Load(options.tls, options.log);
    if (!loaded.ok()) return loaded.status();
    state->certificates = *std::move(loaded);
  }
  if (options.tokens) {
    state->gate = std::make_unique<TokenGate>(*options.tokens, clock, options.log);
    state->served.gate = state->gate.get();
  }
  grpc::ServerBuilder builder;
  builder.SetOption(std::make_unique<ReflectionChoice>(options.reflection));
  LimitWhatOneCallerCosts(builder, options.handshake_timeout);
  NoticeCallersWhoVanish(builder);
  if (ReachOtherMachines(*sockets)) EndConnectionsInTime(builder);
  builder.RegisterService(&state->admission_endpoint);
  builder.RegisterService(&state->capacity_endpoint);
  builder.RegisterService(&state->generation_endpoint);
  builder.RegisterService(&state->admin_endpoint);
  builder.RegisterService(&state->orca_endpoint);
  state->doors = std::make_unique<Doors>(builder, state->certificates.get(), state->gate.get());
  state->grpc = builder.BuildAndStart();
  if (state->grpc == nullptr) return absl::InternalError("gRPC could not start a server");
  state->draining.OnChange([health = state->grpc->GetHealthCheckService()](bool serving) {
    if (health != nullptr) health->SetServingStatus(serving);
  });
  state->accepting = std::make_unique<AcceptLoop>(
      *std::move(sockets), options.connections, options.log,
      [&doors = *state->doors](const ListeningSocket& from, Descriptor connection) {
        doors.HandOver(from, std::move(connection));
      });
  if (grpc::HealthCheckServiceInterface* health = state->grpc->GetHealthCheckService()) {
    state->health->Tell([health](bool ready) { health->SetServingStatus(ready); });
  }
  state->housekeeper.Watch(state->device_watch);
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

const std::vector<std::string>& Server::addresses() const { return state_->addresses; }
CapacityReport Server::Capacity() const { return state_->served.Capacity(); }
absl::Status Server::ReloadCertificates() {
  if (state_->certificates == nullptr) return absl::OkStatus();
  return state_->certificates->Reload();
}

absl::StatusOr<ReadCertificates> Server::ReadNewCertificates() {
  if (state_->certificates == nullptr) return ReadCertificates();
  return state_->certificates->Read();
}

void Server::TakeCertificates(ReadCertificates read) {
  if (state_->certificates != nullptr) state_->certificates->Take(std::move(read));
}

absl::Status Server::SetTokens(TokenTable tokens) {
  if (state_->gate == nullptr) {
    return absl::FailedPreconditionError("the server was started without tokens");
  }
  state_->gate->SetTokens(std::move(tokens));
  return absl::OkStatus();
}

absl::Status Server::CheckItself(Duration limit) const {
  PLIMSOLL_RETURN_IF_ERROR(state_->health->Alive());
  return CheckAnswers(state_->own_address, limit);
}

ConnectionCounts Server::Connections() const { return state_->accepting->counts(); }
const Served& Server::served() const { return state_->served; }
int64_t Server::violations() const { return state_->housekeeper.violations(); }

void Server::StartDraining() { state_->draining.StartForGood("the server is shutting down"); }

DrainReport Server::Held() const {
  const AdmissionSnapshot now = state_->served.admission.published().Read();
  return {.reservations = now.reservations, .blocks = now.blocks.live + now.blocks.reserved};
}

void Server::Stop() {
  if (state_->grpc == nullptr) return;
  state_->accepting.reset();
  state_->health->Tell(nullptr);
  state_->device_watch->Stop();
  state_->grpc->Shutdown(std::chrono::system_clock::now());
  state_->grpc->Wait();
  state_->grpc.reset();
}

}  // namespace plimsoll
