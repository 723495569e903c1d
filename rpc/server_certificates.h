// The server's certificate and key, and the authorities whose clients it takes, read from PEM files
// and read again when these change. Connections that exist go on under what they began with.
//
// New files are used only when they are good: the key belongs to the certificate and that is valid
// today. Else what was stays, and the log says why: gRPC itself would take half a rotation and then
// refuse everybody. It polls paths; what it is given are anonymous files, replaced whole, which
// hold key and certificate together, so that it never sees one without the other.
//
// Threads: Read, Take and Reload from any; one of its own looks at the files each second, and reads
// them when they changed or when it refused them last. Cost: three stat calls a second. Errors:
// InvalidArgument naming the file.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "rpc/descriptor.h"
#include "rpc/log.h"

namespace plimsoll {

struct TlsFiles {
  std::string certificate = {};  // and what lies between it and the authority
  std::string key = {};          // without a passphrase
  std::string client_ca = {};    // empty: clients need no certificate

  bool given() const { return !certificate.empty() || !key.empty() || !client_ca.empty(); }
};

// What files held when they were read, ready to be used.
struct ReadCertificates {
  std::string texts;  // of all
  Descriptor identity, client_ca;
};

class ServerCertificates {
 public:
  // `log`, which may be null, outlives it.
  static absl::StatusOr<std::unique_ptr<ServerCertificates>> Load(const TlsFiles& files, Log* log);
  ~ServerCertificates();

  // Reads the files now, and uses nothing yet.
  absl::StatusOr<ReadCertificates> Read() ABSL_LOCKS_EXCLUDED(mutex_);
  // Uses them from now on.
  void Take(ReadCertificates read) ABSL_LOCKS_EXCLUDED(mutex_);
  // Both; a bad file leaves what was.
  absl::Status Reload() ABSL_LOCKS_EXCLUDED(mutex_);

  // For gRPC: a file with key and certificate, and one with the authorities.
  const std::string& identity_path() const { return identity_path_; }
  const std::string& client_ca_path() const { return client_ca_path_; }
  bool wants_client_certificate() const { return !files_.client_ca.empty(); }

 private:
  ServerCertificates(TlsFiles files, Log* log) : files_(std::move(files)), log_(log) {}
  void Watch() ABSL_LOCKS_EXCLUDED(mutex_);
  void TellOf(const absl::Status& reloaded) const;

  const TlsFiles files_;
  Log* const log_;
  std::string identity_path_, client_ca_path_;
  absl::Mutex mutex_;
  Descriptor identity_ ABSL_GUARDED_BY(mutex_), client_ca_ ABSL_GUARDED_BY(mutex_);
  std::string in_use_ ABSL_GUARDED_BY(mutex_);  // what both hold
  int64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread watcher_;
};

}  // namespace plimsoll
