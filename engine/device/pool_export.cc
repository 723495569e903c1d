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
  PoolAccess access = PoolAccess::kRead;
  int64_t told = 0;      // revision; before the first, 0
  bool renewed = false;  // and is to hear the state again
  bool over = false;
};

// A chunk of a GPU's memory. One that was given back and taken again is another.
struct ExportedChunk {
  int file;
  int64_t revision;  // since which it is there
};

}  // namespace

struct PoolExport::State {
  State(const ExportOptions& options_given, Arena& arena_given, const Clock& clock_given)
      : options(options_given), arena(arena_given), clock(clock_given) {}
  ~State();

  absl::Status ExportAll();
  absl::Status ExportChunks(int64_t committed, int64_t revision)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void CloseBeyond(int64_t count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Tells an importer what is new to it; false where it does not read.
  bool Tell(Importer& importer);
  bool TellChunks(int socket, int64_t known, PoolMessage& now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  int64_t Revision() {
    MutexLock lock(mutex);
    return pool.revision;
  }
  void Accept();
  void Answer(Importer& importer);
  void Greet(Importer& importer, PoolAccess access);
  void TellAll();
  void EndLeases();
  int Wait(Duration at_most, std::vector<pollfd>& files) const;

  const ExportOptions options;
  Arena& arena;
  const Clock& clock;
  int listener = -1;
  int wake = -1;
  int file = -1;          // of the host's memory
  int file_to_read = -1;  // the same, not to be written
  std::vector<Importer> importers;
  std::atomic<int64_t> leases = 0;
  Mutex mutex;
  PoolMessage pool ABSL_GUARDED_BY(mutex);
  std::vector<ExportedChunk> chunks ABSL_GUARDED_BY(mutex);  // in order; of the host's memory, none
};

PoolExport::State::~State() {
  for (const Importer& importer : importers) close(importer.socket);
  for (const int each : {listener, wake, file, file_to_read}) {
    if (each >= 0) close(each);
  }
  if (listener >= 0) unlink(options.path.c_str());
  MutexLock lock(mutex);
  for (const ExportedChunk& chunk : chunks) close(chunk.file);
}

// The host's memory is one file; of any other every chunk has one.
absl::Status PoolExport::State::ExportAll() {
  const int64_t committed = arena.committed_bytes() / arena.chunk_bytes();
  if (arena.kind() != "host") {
    MutexLock lock(mutex);
    return ExportChunks(committed, /*revision=*/1);
  }
  const absl::StatusOr<int> whole = arena.Export(0);
  if (!whole.ok()) return whole.status();
  file = *whole;
  const std::string name = "/proc/self/fd/" + std::to_string(file);
  file_to_read = open(name.c_str(), O_RDONLY | O_CLOEXEC);
  return file_to_read >= 0 ? absl::OkStatus() : SystemError("open " + name, errno);
}

void PoolExport::State::CloseBeyond(int64_t count) {
  for (; std::ssize(chunks) > count; chunks.pop_back()) close(chunks.back().file);
}

// Has the files of the first `committed` chunks. What is given back stays the device's until its
// file is closed. Where one of them cannot be had, there are as many as before: no importer is to
// be sent files of a size that was never announced.
absl::Status PoolExport::State::ExportChunks(int64_t committed, int64_t revision) {
  CloseBeyond(committed);
  const int64_t had = std::ssize(chunks);
  while (std::ssize(chunks) < committed) {
    const absl::StatusOr<int> chunk = arena.Export(std::ssize(chunks));
    if (!chunk.ok()) {
      CloseBeyond(had);
      return chunk.status();
    }
    chunks.push_back({.file = *chunk, .revision = revision});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PoolExport>> PoolExport::Create(const ExportOptions& options,
                                                               Arena& arena, Blocks total,
                                                               const Clock& clock) {
  if (options.lease < milliseconds(1)) {
    return BadField("lease", options.lease.count(), "at least a millisecond");
  }
  auto state = std::make_unique<State>(options, arena, clock);
  PLIMSOLL_RETURN_IF_ERROR(state->ExportAll());
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
                   .lease_ms = std::chrono::duration_cast<milliseconds>(options.lease).count(),
                   .chunk_bytes = state->chunks.empty() ? 0 : arena.chunk_bytes().value()};
  }
  return std::unique_ptr<PoolExport>(new PoolExport(std::move(state)));
}

PoolExport::PoolExport(std::unique_ptr<State> state) : state_(std::move(state)) {}
PoolExport::~PoolExport() = default;

int64_t PoolExport::leases() const { return state_->leases.load(); }

absl::Status PoolExport::Announce(Blocks total) {
  State& state = *state_;
  const Bytes committed = state.arena.committed_bytes();
  {
    // Files and size change at once for who is told meanwhile.
    MutexLock lock(state.mutex);
    const int64_t revision = state.pool.revision + 1;
    if (state.file < 0) {
      const int64_t chunks = committed / state.arena.chunk_bytes();
      PLIMSOLL_RETURN_IF_ERROR(state.ExportChunks(chunks, revision));
    }
    state.pool.revision = revision;
    state.pool.total_blocks = total.value();
    state.pool.bytes = committed.value();
  }
  const uint64_t one = 1;
  // Full means that it is awake already.
  [[maybe_unused]] const ssize_t written = write(state.wake, &one, sizeof(one));
  return absl::OkStatus();
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
  importer.served = true;
  importer.access = access;
  importer.over = !Tell(importer);
}

bool PoolExport::State::Tell(Importer& importer) {
  MutexLock lock(mutex);
  const int64_t known = std::exchange(importer.told, pool.revision);
  PoolMessage now = pool;
  now.access = importer.access;
  if (pool.chunk_bytes > 0) return TellChunks(importer.socket, known, now);
  const int whole = importer.access == PoolAccess::kRead ? file_to_read : file;
  return SendPoolMessage(importer.socket, now, {&whole, known == 0 ? 1u : 0u});
}

// With the files of chunks that are there since a later revision than the known one: those are the
// last ones.
bool PoolExport::State::TellChunks(int socket, int64_t known, PoolMessage& now) {
  auto next = std::find_if(chunks.begin(), chunks.end(),
                           [&](const ExportedChunk& chunk) { return chunk.revision > known; });
  do {
    std::vector<int> files;
    now.first_chunk = next - chunks.begin();
    while (next != chunks.end() && std::ssize(files) < kMostPoolFiles) {
      files.push_back((next++)->file);
    }
    now.more = next == chunks.end() ? 0 : 1;
    if (!SendPoolMessage(socket, now, files)) return false;
  } while (next != chunks.end());
  return true;
}

void PoolExport::State::Answer(Importer& importer) {
  const auto received = ReceivePoolMessage(importer.socket);
  if (!received) {
    importer.over = errno != EAGAIN;
    return;
  }
  for (const int file_sent : received->files) close(file_sent);  // nobody asked for any
  importer.lease_ends = clock.Now() + options.lease;
  const PoolMessage& message = received->message;
  if (message.kind == PoolMessageKind::kHello) return Greet(importer, message.access);
  importer.over = message.kind != PoolMessageKind::kRenew || !importer.served;
  importer.renewed = true;  // and hears the state again
}

void PoolExport::State::TellAll() {
  const int64_t revision = Revision();
  for (Importer& importer : importers) {
    if (importer.over || !importer.served) continue;
    if (importer.told < revision || importer.renewed) importer.over = !Tell(importer);
    importer.renewed = false;
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
