#include "engine/device/cuda_loader.h"

#include <dlfcn.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/device/cuda_backend.h"

namespace plimsoll {
namespace {

constexpr char kFile[] = "libplimsoll_cuda.so";

std::string LoaderError() {
  const char* const error = dlerror();
  return error != nullptr ? error : "unknown error";
}

// The bare name is left to the loader; a path must be there. A file that is there and does not load
// ends the search: loading some other one would hide what is wrong.
absl::StatusOr<void*> OpenFirst(const std::vector<std::string>& paths) {
  std::string tried;
  for (const std::string& path : paths) {
    const bool bare = path.find('/') == std::string::npos;
    if (!bare && access(path.c_str(), F_OK) != 0) {
      tried += path + ", ";
      continue;
    }
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) return library;
    const std::string error = LoaderError();
    if (bare && error.find("No such file") != std::string::npos) {
      tried += "the loader's path, ";
      continue;
    }
    return absl::FailedPreconditionError("CUDA module does not load: " + error);
  }
  if (!tried.empty()) tried.resize(tried.size() - 2);
  return absl::FailedPreconditionError(absl::StrFormat("no CUDA module: not at %s", tried));
}

absl::StatusOr<const PlimsollCudaModule*> ModuleIn(void* library) {
  void* const symbol = dlsym(library, PLIMSOLL_CUDA_ENTRY);
  if (symbol == nullptr) {
    return absl::FailedPreconditionError("CUDA module is not ours: " + LoaderError());
  }
  const PlimsollCudaModule* const module = reinterpret_cast<PlimsollCudaEntry>(symbol)();
  if (module->version != PLIMSOLL_CUDA_VERSION) {
    return absl::FailedPreconditionError(
        absl::StrFormat("CUDA module has interface version %d, this program wants %d",
                        module->version, PLIMSOLL_CUDA_VERSION));
  }
  return module;
}

}  // namespace

std::vector<std::string> CudaModulePaths() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {kFile};
  const std::filesystem::path folder = program.parent_path();
  return {folder / kFile, (folder / "../lib" / kFile).lexically_normal(), kFile};
}

absl::StatusOr<std::unique_ptr<DeviceBackend>> LoadCudaBackendFrom(
    const std::vector<std::string>& paths) {
  const absl::StatusOr<void*> library = OpenFirst(paths);
  if (!library.ok()) return library.status();
  const absl::StatusOr<const PlimsollCudaModule*> module = ModuleIn(*library);
  if (!module.ok()) return module.status();
  return CreateCudaBackend(**module, /*device=*/0);
}

absl::StatusOr<const DeviceBackend*> LoadCudaBackend() {
  static const absl::StatusOr<std::unique_ptr<DeviceBackend>>& backend =
      *new absl::StatusOr<std::unique_ptr<DeviceBackend>>(LoadCudaBackendFrom(CudaModulePaths()));
  if (!backend.ok()) return backend.status();
  return backend->get();
}

}  // namespace plimsoll
