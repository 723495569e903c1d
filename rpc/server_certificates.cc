#include "rpc/server_certificates.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

struct Contents {
  std::string identity;  // key, then certificates
  std::string client_ca;
};

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;

Bio BioOf(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Certificate FirstCertificate(const std::string& pem) {
  return Certificate(PEM_read_bio_X509(BioOf(pem).get(), nullptr, nullptr, nullptr));
}

// Nobody is there to type one.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<std::string> ReadPem(const char* what, const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  // A folder opens, but cannot be read: peek says so, where the iterator would throw.
  if (in.peek(); in.good()) text.assign(std::istreambuf_iterator<char>(in), {});
  if (text.empty()) return absl::InvalidArgumentError(path + ": no " + what + " can be read there");
  return text;
}

absl::Status CheckDates(const X509& certificate, const std::string& path) {
  if (X509_cmp_current_time(X509_get0_notAfter(&certificate)) <= 0) {
    return absl::InvalidArgumentError(path + ": the certificate has expired");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(&certificate)) >= 0) {
    return absl::InvalidArgumentError(path + ": the certificate is not valid yet");
  }
  return absl::OkStatus();
}

absl::Status CheckIdentity(const TlsFiles& files, const std::string& certificates,
                           const std::string& key_text) {
  const Certificate certificate = FirstCertificate(certificates);
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(files.certificate + ": holds no certificate in PEM");
  }
  const Key key(PEM_read_bio_PrivateKey(BioOf(key_text).get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    return absl::InvalidArgumentError(files.key + ": holds no key in PEM without a passphrase");
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(files.key + ": this key is not that of " + files.certificate);
  }
  return CheckDates(*certificate, files.certificate);
}

absl::StatusOr<Contents> ReadFiles(const TlsFiles& files) {
  const absl::StatusOr<std::string> certificates = ReadPem("certificate", files.certificate);
  if (!certificates.ok()) return certificates.status();
  const absl::StatusOr<std::string> key = ReadPem("key", files.key);
  if (!key.ok()) return key.status();
  const absl::Status good = CheckIdentity(files, *certificates, *key);
  ERR_clear_error();
  if (!good.ok()) return good;
  Contents contents{.identity = *key + "\n" + *certificates, .client_ca = {}};
  if (files.client_ca.empty()) return contents;
  absl::StatusOr<std::string> authorities = ReadPem("certificate", files.client_ca);
  if (!authorities.ok()) return authorities.status();
  const bool readable = FirstCertificate(*authorities) != nullptr;
  ERR_clear_error();
  if (!readable) {
    return absl::InvalidArgumentError(files.client_ca + ": holds no certificate in PEM");
  }
  contents.client_ca = *std::move(authorities);
  return contents;
}

// A file that holds `text`. Each generation has a time of its own, by which a reader sees that the
// file changed under him.
absl::StatusOr<Descriptor> FileWith(const std::string& text, int64_t generation) {
  Descriptor fresh(memfd_create("plimsoll-tls", MFD_CLOEXEC));
  if (!fresh.open()) return SystemError("memfd_create", errno);
  const std::array<timespec, 2> times = {
      {{.tv_sec = generation, .tv_nsec = 0}, {.tv_sec = generation, .tv_nsec = 0}}};
  if (write(fresh.get(), text.data(), text.size()) != std::ssize(text) ||
      futimens(fresh.get(), times.data()) != 0) {
    return SystemError("write", errno);
  }
  return fresh;
}

// Makes `fresh` the file behind `place`, at once for whoever opens it by path.
void Replace(Descriptor& place, Descriptor fresh) {
  if (!place.open()) {
    place = std::move(fresh);
    return;
  }
  int replaced = -1;
  do {
    replaced = dup3(fresh.get(), place.get(), O_CLOEXEC);
  } while (replaced < 0 && (errno == EINTR || errno == EBUSY));
  PLIMSOLL_CHECK(replaced == place.get(), errno);  // both are open
}

std::string PathOf(const Descriptor& file) { return "/proc/self/fd/" + std::to_string(file.get()); }

// Changes when a file does: which it is, how large, and when it was written.
std::string StampOf(const TlsFiles& files) {
  std::string stamp;
  for (const std::string& path : {files.certificate, files.key, files.client_ca}) {
    struct stat seen {};
    if (path.empty() || stat(path.c_str(), &seen) != 0) continue;
    for (const int64_t part : {static_cast<int64_t>(seen.st_ino), int64_t{seen.st_size},
                               int64_t{seen.st_mtim.tv_sec}, int64_t{seen.st_mtim.tv_nsec}}) {
      stamp += std::to_string(part) + " ";
    }
  }
  return stamp;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerCertificates>> ServerCertificates::Load(const TlsFiles& files,
                                                                             Log* log) {
  if (files.certificate.empty() || files.key.empty()) {
    return absl::InvalidArgumentError("TLS wants both a certificate and its key");
  }
  std::unique_ptr<ServerCertificates> loaded(new ServerCertificates(files, log));
  PLIMSOLL_RETURN_IF_ERROR(loaded->Reload());
  {
    absl::MutexLock lock(&loaded->mutex_);
    loaded->identity_path_ = PathOf(loaded->identity_);
    loaded->client_ca_path_ = PathOf(loaded->client_ca_);
  }
  loaded->watcher_ = std::thread([&certificates = *loaded] { certificates.Watch(); });
  return loaded;
}

ServerCertificates::~ServerCertificates() {
  if (!watcher_.joinable()) return;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  watcher_.join();
}

absl::StatusOr<ReadCertificates> ServerCertificates::Read() {
  const absl::StatusOr<Contents> contents = ReadFiles(files_);
  if (!contents.ok()) return contents.status();
  int64_t generation = 0;
  {
    absl::MutexLock lock(&mutex_);
    generation = ++generation_;
  }
  absl::StatusOr<Descriptor> identity = FileWith(contents->identity, generation);
  if (!identity.ok()) return identity.status();
  absl::StatusOr<Descriptor> client_ca = FileWith(contents->client_ca, generation);
  if (!client_ca.ok()) return client_ca.status();
  return ReadCertificates{.texts = contents->identity + contents->client_ca,
                          .identity = *std::move(identity),
                          .client_ca = *std::move(client_ca)};
}

void ServerCertificates::Take(ReadCertificates read) {
  absl::MutexLock lock(&mutex_);
  if (read.texts == in_use_) return;
  Replace(identity_, std::move(read.identity));
  Replace(client_ca_, std::move(read.client_ca));
  in_use_ = std::move(read.texts);
}

absl::Status ServerCertificates::Reload() {
  absl::StatusOr<ReadCertificates> read = Read();
  if (!read.ok()) return read.status();
  Take(*std::move(read));
  return absl::OkStatus();
}

void ServerCertificates::Watch() {
  std::string seen = StampOf(files_);
  bool refused = false;
  const auto stopping = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_; };
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      if (mutex_.AwaitWithTimeout(absl::Condition(&stopping), absl::Seconds(1))) return;
    }
    std::string now = StampOf(files_);
    const bool changed = now != seen;
    if (!changed && !refused) continue;
    seen = std::move(now);
    // What was refused may be good later though no file is written: permissions that are given, a
    // certificate whose time has come.
    const absl::Status reloaded = Reload();
    refused = !reloaded.ok();
    if (changed || !refused) TellOf(reloaded);
  }
}

void ServerCertificates::TellOf(const absl::Status& reloaded) const {
  if (log_ == nullptr) return;
  if (reloaded.ok()) {
    log_->Write(LogLevel::kInfo, "certificates_reloaded", {{"certificate", files_.certificate}});
  } else {
    log_->Write(LogLevel::kError, "certificates_kept", {{"why", std::string(reloaded.message())}});
  }
}

}  // namespace plimsoll
