#include "engine/weights/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "engine/weights/safetensors.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

int64_t ElementsOf(const std::vector<int64_t>& shape) {
  int64_t elements = 1;
  for (const int64_t extent : shape) {
    const std::optional<int64_t> product = CheckedProduct({elements, extent});
    PLIMSOLL_CHECK(product.has_value(), elements, extent);
    elements = *product;
  }
  return elements;
}

std::string DtypeOf(const TensorToWrite& tensor) {
  return tensor.dtype.empty() ? std::string(DtypeOf(tensor.type)) : tensor.dtype;
}

Bytes BytesOf(const TensorToWrite& tensor) {
  const std::optional<int> bits = BitsOfDtype(DtypeOf(tensor));
  PLIMSOLL_CHECK(bits && *bits % 8 == 0, tensor.name, tensor.dtype);
  return Bytes(ElementsOf(tensor.shape) * (*bits / 8));
}

// The header, padded with spaces so that the data begins at a multiple of 64.
std::string HeaderText(const std::vector<TensorToWrite>& tensors) {
  nlohmann::ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  int64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t end = offset + BytesOf(tensor).value();
    header.push_back(
        {tensor.name,
         {{"dtype", DtypeOf(tensor)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}}});
    offset = end;
  }
  PLIMSOLL_CHECK(header.size() == tensors.size() + 1, header.size());  // names are unique
  std::string text = header.dump();
  text.append((64 - (text.size() + 8) % 64) % 64, ' ');
  return text;
}

Bytes DataBytes(const std::vector<TensorToWrite>& tensors) {
  Bytes sum;
  for (const TensorToWrite& each : tensors) sum += BytesOf(each);
  return sum;
}

std::array<std::byte, 8> LittleEndian(uint64_t value) {
  std::array<std::byte, 8> raw;
  for (std::byte& each : raw) {
    each = static_cast<std::byte>(value & 0xff);
    value >>= 8;
  }
  return raw;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Create(
    const std::string& path, const std::vector<TensorToWrite>& tensors) {
  const std::string header = HeaderText(tensors);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return Annotate(SystemError("open", errno), path);
  std::unique_ptr<SafetensorsWriter> writer(new SafetensorsWriter(path, fd, DataBytes(tensors)));
  PLIMSOLL_RETURN_IF_ERROR(writer->Write(LittleEndian(header.size())));
  PLIMSOLL_RETURN_IF_ERROR(writer->Write(std::as_bytes(std::span(header))));
  return writer;
}

SafetensorsWriter::~SafetensorsWriter() {
  close(fd_);
  if (!finished_) unlink(path_.c_str());
}

absl::Status SafetensorsWriter::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = write(fd_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Annotate(SystemError("write", errno), path_);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Append(std::span<const std::byte> bytes) {
  PLIMSOLL_CHECK(!finished_, path_);
  appended_ += Bytes(std::ssize(bytes));
  PLIMSOLL_CHECK(appended_ <= data_bytes_, path_, appended_, data_bytes_);
  return Write(bytes);
}

absl::Status SafetensorsWriter::Finish() {
  PLIMSOLL_CHECK(appended_ == data_bytes_, path_, appended_, data_bytes_);
  if (fsync(fd_) != 0) return Annotate(SystemError("fsync", errno), path_);
  finished_ = true;
  return absl::OkStatus();
}

}  // namespace plimsoll
