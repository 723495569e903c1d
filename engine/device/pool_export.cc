#include "engine/device/pool_export.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "engine/device/pool_wire.h"
#include "kvcache/base/errors.h"
#include "kvcache/base/mutex.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;

struct Importer {
  int socket;
  Instant lease_ends;
  bool served = false;  // it said hello
  int64_t told = 0;     // revision
  bool over = false;
};

}  // namespace

struct PoolExport::State {
  State(const ExportOptions& options_given, const Clock& clock_given)
      : options(options_given), clock(clock_given) {}
  ~State();

  PoolMessage Now() {
    MutexLock lock(mutex);
    return pool;
  }
  void Accept();
  void Answer(Importer& importer);
  void Greet(Importer& importer, PoolAccess access);
  void TellAll();
  void EndLeases();
  int Wait(Duration at_most, std::vector<pollfd>& files) const;

  const ExportOptions options;
  const Clock& clock;
  int listener = -1;
  int wake = -1;
  int file = -1;          // of the pool's memory
  int file_to_read = -1;  // the same, not to be written
  std::vector<Importer> importers;
  std::atomic<int64_t> leases = 0;
  Mutex mutex;
  PoolMessage pool ABSL_GUARDED_BY(mutex);
};

PoolExport::State::~State() {
  for (const Importer& importer : importers) close(importer.socket);
  for (const int each : {listener, wake, file, file_to_read}) {
    if (each >= 0) close(each);
  }
  if (listener >= 0) unlink(options.path.c_str());
}

absl::StatusOr<std::unique_ptr<PoolExport>> PoolExport::Create(const ExportOptions& options,
                                                               Arena& arena, Blocks total,
                                                               const Clock& clock) {
  if (arena.kind() != "host") {
    return absl::UnimplementedError("export of a pool of kind " + std::string(arena.kind()));
  }
  if (options.lease < milliseconds(1)) {
    return BadField("lease", options.lease.count(), "at least a millisecond");
  }
  auto state = std::make_unique<State>(options, clock);
  const absl::StatusOr<int> file = arena.Export(0);
  if (!file.ok()) return file.status();
  state->file = *file;
  const std::string name = "/proc/self/fd/" + std::to_string(*file);
  state->file_to_read = open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (state->file_to_read < 0) return SystemError("open " + name, errno);
  state->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (state->wake < 0) return SystemError("eventfd", errno);
  state->listener = ListenForImporters(options.path);
  if (state->listener < 0) return SystemError("listen on " + options.path, errno);
  const Bytes most = arena.chunks() * arena.chunk_bytes();
  {
    MutexLock lock(state->mutex);
    state->pool = {.kind = PoolMessageKind::kPool,
                   .revision = 1,
                   .block_bytes = options.block_bytes.value(),
                   .total_blocks = total.value(),
                   .bytes = arena.committed_bytes().value(),
                   .most_bytes = most.value(),
                   .lease_ms = std::chrono::duration_cast<milliseconds>(options.lease).count()};
  }
  return std::unique_ptr<PoolExport>(new PoolExport(std::move(state)));
}

PoolExport::PoolExport(std::unique_ptr<State> state) : state_(std::move(state)) {}
PoolExport::~PoolExport() = default;

int64_t PoolExport::leases() const { return state_->leases.load(); }

void PoolExport::Announce(Blocks total, Bytes committed) {
  {
    MutexLock lock(state_->mutex);
    ++state_->pool.revision;
    state_->pool.total_blocks = total.value();
    state_->pool.bytes = committed.value();
  }
  const uint64_t one = 1;
  // Full means that it is awake already.
  [[maybe_unused]] const ssize_t written = write(state_->wake, &one, sizeof(one));
}

void PoolExport::State::Accept() {
  const int socket = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket < 0) {
    // Who waits stays readable: without a pause a process that is out of files would spin.
    if (errno == EMFILE || errno == ENFILE) poll(nullptr, 0, /*milliseconds=*/100);
    return;
  }
  if (std::ssize(importers) >= options.most_importers) {
    SendPoolMessage(socket, {.kind = PoolMessageKind::kRefused});
    close(socket);
    return;
  }
  importers.push_back({.socket = socket, .lease_ends = clock.Now() + options.lease});
}

void PoolExport::State::Greet(Importer& importer, PoolAccess access) {
  const bool known = access == PoolAccess::kRead || access == PoolAccess::kReadWrite;
  if (!known || importer.served) {
    SendPoolMessage(importer.socket, {.kind = PoolMessageKind::kRefused});
    importer.over = true;
    return;
  }
  PoolMessage now = Now();
  now.access = access;
  importer.served = true;
  importer.told = now.revision;
  importer.over =
      !SendPoolMessage(importer.socket, now, access == PoolAccess::kRead ? file_to_read : file);
}

void PoolExport::State::Answer(Importer& importer) {
  const auto received = ReceivePoolMessage(importer.socket);
  if (received && received->file >= 0) close(received->file);  // nobody asked for one
  if (!received) {
    importer.over = errno != EAGAIN;
    return;
  }
  importer.lease_ends = clock.Now() + options.lease;
  const PoolMessage& message = received->message;
  if (message.kind == PoolMessageKind::kHello) return Greet(importer, message.access);
  importer.over = message.kind != PoolMessageKind::kRenew || !importer.served;
  importer.told = 0;  // a renewal hears the state again
}

void PoolExport::State::TellAll() {
  const PoolMessage now = Now();
  for (Importer& importer : importers) {
    if (importer.over || !importer.served || importer.told == now.revision) continue;
    importer.told = now.revision;
    importer.over = !SendPoolMessage(importer.socket, now);
  }
}

void PoolExport::State::EndLeases() {
  const Instant now = clock.Now();
  for (Importer& importer : importers) {
    if (importer.lease_ends <= now) importer.over = true;
    if (importer.over) close(importer.socket);
  }
  std::erase_if(importers, [](const Importer& importer) { return importer.over; });
  leases = std::count_if(importers.begin(), importers.end(),
                         [](const Importer& importer) { return importer.served; });
}

// No longer than until the next lease ends.
int PoolExport::State::Wait(Duration at_most, std::vector<pollfd>& files) const {
  const Instant now = clock.Now();
  for (const Importer& importer : importers) {
    files.push_back({.fd = importer.socket, .events = POLLIN, .revents = 0});
    at_most = std::min(at_most, std::max(Duration::zero(), importer.lease_ends - now));
  }
  const auto timeout = std::chrono::ceil<milliseconds>(at_most).count();
  return poll(files.data(), files.size(), static_cast<int>(timeout));
}

void PoolExport::Serve(Duration at_most) {
  State& state = *state_;
  std::vector<pollfd> files = {{.fd = state.listener, .events = POLLIN, .revents = 0},
                               {.fd = state.wake, .events = POLLIN, .revents = 0}};
  if (state.Wait(at_most, files) > 0) {
    uint64_t ignored = 0;
    if (files[1].revents != 0) {
      [[maybe_unused]] const ssize_t size = read(state.wake, &ignored, sizeof(ignored));
    }
    for (size_t i = 2; i < files.size(); ++i) {
      if (files[i].revents != 0) state.Answer(state.importers[i - 2]);
    }
    if (files[0].revents != 0) state.Accept();
  }
  state.TellAll();
  state.EndLeases();
}

}  // namespace plimsoll
