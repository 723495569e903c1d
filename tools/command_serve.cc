// plimsoll serve: the server, with an engine that decodes or as a ledger that only counts.
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/device/pool_export.h"
#include "kvcache/base/size_text.h"
#include "rpc/http_endpoint.h"
#include "rpc/server.h"
#include "tools/command.h"
#include "tools/kv_type.h"
#include "tools/serve/configuration.h"
#include "tools/serve/ledger_pool.h"
#include "tools/serve/planner.h"
#include "tools/serve/reload.h"
#include "tools/serve/serve_arguments.h"
#include "tools/serve/service_manager.h"
#include "tools/serve/stop_signals.h"

namespace plimsoll {
namespace {

void Say(const std::string& line) {
  std::printf("plimsoll: %s\n", line.c_str());
  std::fflush(stdout);
}

// A connection costs a descriptor; the default limit is far below what the system allows.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void SayResized(const PoolResized& resized) {
  Say(absl::StrFormat("pool resized: %d blocks, before %d; %d evicted, %d moved",
                      resized.now.value(), resized.before.value(), resized.evicted.value(),
                      resized.moved.value()));
}

// What is served: an engine with its loop, or a ledger.
struct Pool {
  std::unique_ptr<Engine> engine;
  std::unique_ptr<LedgerPool> ledger;

  SharedAdmission& admission() const {
    return engine != nullptr ? engine->admission() : ledger->admission();
  }
  GenerationLoop* loop() const { return engine != nullptr ? &engine->loop() : nullptr; }
  void Resize(Blocks total, const PoolResizedHandler& done) const {
    if (engine != nullptr) return engine->Resize(total, done);
    done(ledger->Resize(total));
  }
};

absl::StatusOr<Pool> MakePool(const ServeArguments& arguments, const Clock& clock) {
  Pool pool;
  if (arguments.ledger()) {
    absl::StatusOr<std::unique_ptr<LedgerPool>> ledger =
        LedgerPool::Create(arguments.engine, clock);
    if (!ledger.ok()) return ledger.status();
    pool.ledger = *std::move(ledger);
  } else {
    absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(arguments.engine, clock);
    if (!engine.ok()) return engine.status();
    pool.engine = *std::move(engine);
  }
  return pool;
}

// `pool` outlives the server.
ServerOptions OptionsFor(const ServeArguments& arguments, const Pool& pool, Log& log) {
  ServerInfo info{.version = PLIMSOLL_VERSION,
                  .epoch = arguments.engine.admission.epoch,
                  .model = {},
                  .device = "none"};
  Bytes block_bytes;
  if (pool.engine != nullptr) {
    info.mode = ServerMode::kEngine;
    info.model = pool.engine->model().name;
    info.device = pool.engine->device();
    info.memory = pool.engine->memory();
    info.victim = arguments.engine.loop.victim;
    block_bytes = pool.engine->layout().block_bytes;
  } else {
    info.model = pool.ledger->model();
    block_bytes = pool.ledger->block_bytes();
  }
  ServerOptions options = arguments.server;
  options.log = &log;
  options.block_tokens = arguments.engine.block_tokens;
  options.block_bytes = block_bytes;
  options.info = info;
  if (pool.engine != nullptr) options.memory = [&pool] { return pool.engine->memory(); };
  options.resize = [&pool](Blocks total, const PoolResizedHandler& done) {
    pool.Resize(total, [done](const absl::StatusOr<PoolResized>& resized) {
      if (resized.ok()) SayResized(*resized);
      done(resized);
    });
  };
  options.planner = PlanForCaller;
  return options;
}

void SayWhatItTook(const Engine& engine) {
  if (!engine.device_note().empty()) Say(engine.device_note());
  for (const MemoryStage& stage : engine.memory()) {
    Say(absl::StrFormat("%s: predicted %s, measured %s", stage.name, FormatSize(stage.predicted),
                        FormatSize(stage.measured)));
  }
}

void SayReady(const ServerOptions& options, const Server& server, const HttpEndpoint* http) {
  const std::string kind = options.info.mode == ServerMode::kEngine
                               ? "engine on " + options.info.device
                               : std::string("ledger");
  const std::string model = options.info.model.empty() ? "" : " for " + options.info.model;
  Say(absl::StrFormat("ready: %s, %d blocks of %d tokens%s; gRPC on %s%s", kind,
                      server.Capacity().snapshot.blocks.total.value(), options.block_tokens.value(),
                      model, absl::StrJoin(server.addresses(), ", "),
                      http == nullptr ? "" : "; HTTP on " + http->address()));
}

// Waits until nothing is held, the time is over or a second signal comes.
void Drain(Server& server, const StopSignals& signals, Duration timeout, const Clock& clock) {
  constexpr Duration kLook = std::chrono::milliseconds(20);
  server.StartDraining();
  Say(absl::StrFormat("draining: %d reservations held", server.Held().reservations));
  const Instant give_up = clock.Now() + timeout;
  while (server.Held().reservations > 0 && clock.Now() < give_up) {
    if (signals.WaitFor(kLook)) break;
  }
  const DrainReport left = server.Held();
  Say(left.reservations == 0 ? std::string("stopped; nothing was cut off")
                             : absl::StrFormat("stopped; cut off %d reservations that held %d "
                                               "blocks",
                                               left.reservations, left.blocks.value()));
}

// Steps the engine's loop, if there is one, for as long as it lives.
class LoopThread {
 public:
  explicit LoopThread(GenerationLoop* loop) : loop_(loop) {
    if (loop_ != nullptr) thread_ = std::thread([this] { loop_->Run(); });
  }
  ~LoopThread() {
    if (loop_ == nullptr) return;
    loop_->Stop();
    thread_.join();
  }
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

 private:
  GenerationLoop* const loop_;
  std::thread thread_;
};

// Answers those who map the engine's pool, if it is exported, for as long as it lives.
class ExportThread {
 public:
  explicit ExportThread(Engine* engine)
      : export_(engine == nullptr ? nullptr : engine->exported()) {
    if (export_ == nullptr) return;
    thread_ = std::thread([this] {
      while (!stop_) export_->Serve(std::chrono::milliseconds(100));
    });
  }
  ~ExportThread() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  ExportThread(const ExportThread&) = delete;
  ExportThread& operator=(const ExportThread&) = delete;

 private:
  PoolExport* const export_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// Reloads until a signal to stop comes.
void ServeUntilStopped(const StopSignals& signals, Reloader& reloader) {
  while (signals.Wait() == SIGHUP) reloader.Reload();
}

absl::StatusOr<std::unique_ptr<HttpEndpoint>> StartHttp(const ServeArguments& arguments,
                                                        const Server& server) {
  if (arguments.http.empty()) return nullptr;
  return HttpEndpoint::Start({.address = arguments.http, .names = arguments.http_names},
                             server.served());
}

absl::Status Serve(const Configured& configured, const Reloader::Source& source) {
  const absl::StatusOr<ServeArguments> arguments = ReadServeArguments(configured.text);
  if (!arguments.ok()) return arguments.status();
  const StopSignals signals;
  const ServiceManager manager = ServiceManager::FromEnvironment();
  std::signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();
  const SystemClock clock;
  Log log(arguments->log, clock);
  const absl::StatusOr<Pool> pool = MakePool(*arguments, clock);
  if (!pool.ok()) return pool.status();
  if (pool->engine != nullptr) SayWhatItTook(*pool->engine);
  ServerOptions options = OptionsFor(*arguments, *pool, log);
  // Who hands us sockets has decided where we listen.
  options.listening = manager.listening();
  if (!options.listening.empty()) options.listen.clear();
  const LoopThread loop_thread(pool->loop());
  const ExportThread export_thread(pool->engine.get());
  const absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Start(options, pool->admission(), clock, pool->loop());
  if (!server.ok()) return server.status();
  const absl::StatusOr<std::unique_ptr<HttpEndpoint>> http = StartHttp(*arguments, **server);
  if (!http.ok()) return http.status();
  SayReady(options, **server, http->get());
  manager.Notify("READY=1");
  const Watchdog watchdog(
      manager, [&server = **server](Duration limit) { return server.CheckItself(limit); }, log);
  Reloader reloader(configured.effective, source, **server, pool->admission(), log);
  ServeUntilStopped(signals, reloader);
  manager.Notify("STOPPING=1");
  Drain(**server, signals, arguments->drain_timeout, clock);
  return absl::OkStatus();
}

// What an engine keeps of what was computed.
void AddKeepingArguments(CLI::App& command, ServeText& text) {
  command
      .add_option(
          "--eviction", text.eviction,
          "of an engine: keep blocks that prefix_hashes name for who begins with the same,\n"
          "and when their room is needed, let those go first that came first (fifo), were\n"
          "used least lately (lru), or are least likely to come back (learned)")
      ->check(CLI::IsMember({"off", "fifo", "lru", "learned"}))
      ->capture_default_str();
  command.add_option(
      "--swap", text.swap,
      "memory of the host, such as 8GiB, in which requests that stop for others are\n"
      "kept where that takes less time than starting over; default: none");
}

void AddPoolArguments(CLI::App& command, ServeText& text) {
  command.add_option("--model", text.model, "a model folder; a ledger needs only its config.json");
  command
      .add_option("--device", text.device,
                  "where to decode; none: a ledger that only counts, in front of another engine")
      ->check(CLI::IsMember({"auto", "cuda", "cpu", "none"}))
      ->capture_default_str();
  CLI::Option* const memory = command.add_option(
      "--memory", text.memory, "device memory to plan for, such as 80GiB; default: the device's");
  command.add_option("--blocks", text.blocks, "a pool of exactly this many blocks instead")
      ->excludes(memory);
  command.add_option("--export", text.export_socket,
                     "a Unix socket at which other processes of this user map the pool");
  command.add_option(
      "--max-blocks", text.max_blocks,
      "what `plimsoll resize` may make of the pool; default: what it has at the start");
  command.add_option("--weights", text.weights,
                     "int8 or int4: round matrices to that when loading; a ledger takes what plan\n"
                     "takes (default: as stored)");
  command
      .add_option(
          "--policy", text.policy,
          "how requests are admitted; where less than the whole is promised, an engine stops\n"
          "a request for another and starts it over, and a ledger's holders extend what they have")
      ->check(CLI::IsMember({"never-evict", "watermark", "quantile"}))
      ->capture_default_str();
  command.add_option("--watermark", text.watermark, "share of the pool that watermark keeps free")
      ->capture_default_str();
  command
      .add_option("--overflow-goal", text.overflow_goal,
                  "overflows for each decision that quantile allows: a request has to stop, or an\n"
                  "extension is refused")
      ->capture_default_str();
  command
      .add_option("--victim", text.victim,
                  "who stops where an engine has no room: newest, or cheapest to compute again")
      ->check(CLI::IsMember({"newest", "cheapest"}))
      ->capture_default_str();
  command
      .add_option(
          "--class", text.classes,
          "NAME=POLICY[:SETTING], one or more: a policy for the requests that name the class")
      ->allow_extra_args(false);
  command
      .add_option("--quota", text.quotas,
                  "TENANT=MIN:MAX, one or more: blocks that are kept for a tenant, and what it may "
                  "borrow up to;\nTENANT * is all others, who share the minimum")
      ->allow_extra_args(false);
  command.add_option("--kv", text.kv,
                     std::string("how K and V are stored: ") + kKvTypes +
                         "; default: fp16 for models in fp16, else bf16");
  command.add_option("--block-tokens", text.block_tokens, "token slots in a block, a power of two")
      ->capture_default_str();
  command.add_option("--max-batched-tokens", text.max_batched_tokens, "tokens of one step")
      ->capture_default_str();
  command.add_option("--max-sequences", text.max_sequences, "sequences that run at once")
      ->capture_default_str();
  command.add_option("--utilization", text.utilization, "share of the memory to use")
      ->capture_default_str();
}

void AddLearningArguments(CLI::App& command, ServeText& text) {
  CLI::Option* const learning = command.add_flag(
      "--learning", text.learning,
      "of a ledger that may have been killed: for one lease after the start new requests wait,\n"
      "and who holds something claims it; default: from the first who shows an older id");
  command
      .add_flag("--no-learning", text.no_learning,
                "nobody holds anything: older ids are stale from the start")
      ->excludes(learning);
}

void AddServeArguments(CLI::App& command, ServeText& text) {
  AddPoolArguments(command, text);
  AddKeepingArguments(command, text);
  command.add_option("--listen", text.listen, "host:port or unix:/path, one or more")
      ->capture_default_str();
  command.add_option("--http", text.http, "host:port for probes and people, or none")
      ->capture_default_str();
  command
      .add_option("--http-name", text.http_names,
                  "a name by which that is reached, beside addresses and localhost; one or more")
      ->allow_extra_args(false);
  command.add_option("--lease", text.lease, "how long a reservation lives without a sign of life")
      ->capture_default_str();
  command
      .add_option("--drain-timeout", text.drain_timeout,
                  "how long to let requests end after SIGTERM")
      ->capture_default_str();
  AddNetworkArguments(command, text.network);
  command.add_flag("--no-reflection", text.no_reflection,
                   "do not describe the services to callers");
  AddLearningArguments(command, text);
}

// What of `serve` is not a setting.
struct ServeRequest {
  ServeText typed;
  std::string config;
  bool check_config = false;
};

// The settings as JSON, if a server would start with them.
absl::Status PrintConfig(const Configured& configured) {
  PLIMSOLL_RETURN_IF_ERROR(ReadServeArguments(configured.text).status());
  const absl::StatusOr<std::string> json = ConfigJson(configured.effective);
  if (!json.ok()) return json.status();
  std::printf("%s", json->c_str());
  return absl::OkStatus();
}

absl::Status ServeAs(const CLI::App& command, const ServeRequest& request) {
  const auto source = [&] { return Configure(command, AddServeArguments, request.config); };
  const absl::StatusOr<Configured> configured = source();
  if (!configured.ok()) return configured.status();
  return request.check_config ? PrintConfig(*configured) : Serve(*configured, source);
}

}  // namespace

void AddServeCommand(CLI::App& app, CommandResult& result) {
  CLI::App* const command =
      app.add_subcommand("serve", "Own a paged KV pool and admit requests over gRPC");
  const auto request = std::make_shared<ServeRequest>();
  AddServeArguments(*command, request->typed);
  command
      ->add_option("--config", request->config,
                   "a file of these options, in JSON or protobuf's text format; the command line\n"
                   "goes before PLIMSOLL_... in the environment, and that before the file")
      ->envname("PLIMSOLL_CONFIG");
  command->add_flag("--check-config", request->check_config,
                    "print what it would be started with, and do not start");
  command->callback([command, request, &result] {
    const absl::Status status = ServeAs(*command, *request);
    result.exit_code = status.ok() ? 0 : ReportError(status);
  });
}

}  // namespace plimsoll
