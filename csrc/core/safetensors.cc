#include "safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "error.h"
#include "safetensors_header.h"

namespace listwise::core {
namespace {

constexpr uint64_t lengthBytes = 8;

// A file descriptor that closes itself.
class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

Error systemError(const std::string& code, const std::string& doing, const std::string& path) {
  return Error(code, "Could not " + doing + " " + path + ": " + std::strerror(errno) + ".");
}

Error writeError(const std::string& path) {
  return Error("NOT_WRITABLE", "Cannot write " + path + ": " + std::strerror(errno) +
                                   "; make room, check the permissions, or give another path.");
}

// Bytes of one element of a safetensors dtype; 0 for one this project does not know.
uint64_t elementSize(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "I8" || dtype == "U8" || dtype == "BOOL") return 1;
  return 0;
}

void checkTensor(const std::string& path, const std::string& name, const TensorInfo& info,
                 uint64_t dataBytes) {
  const uint64_t size = elementSize(info.dtype);
  if (info.begin > info.end || info.end > dataBytes) {
    throw Error("BAD_MODEL", path + ": tensor " + name + " ends at byte " +
                                 std::to_string(info.end) + " but the file has " +
                                 std::to_string(dataBytes) + "; it may have been cut off.");
  }
  // The product is built by division, so that no header can make it overflow.
  uint64_t room = size == 0 ? 0 : (info.end - info.begin) / size;
  bool fits = size == 0 || room * size == info.end - info.begin;
  for (const int64_t extent : info.shape) {
    if (extent == 0) return;
    fits = fits && room % static_cast<uint64_t>(extent) == 0;
    room /= static_cast<uint64_t>(extent);
  }
  if (size != 0 && (!fits || room != 1)) {
    throw Error("BAD_MODEL", path + ": tensor " + name + " has " +
                                 std::to_string(info.end - info.begin) +
                                 " bytes, which its shape and dtype do not give.");
  }
}

void writeAll(int fd, const std::byte* data, uint64_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t written = ::write(fd, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw writeError(path);
    data += written;
    size -= static_cast<uint64_t>(written);
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : path_(path) {
  const File file(path, O_RDONLY);
  struct stat status{};
  if (file.fd() < 0 || ::fstat(file.fd(), &status) != 0) {
    throw systemError("NOT_FOUND", "open the weights file", path);
  }
  size_ = static_cast<uint64_t>(status.st_size);
  if (size_ < lengthBytes) {
    throw Error("BAD_MODEL",
                path + " is not a safetensors file: it has " + std::to_string(size_) + " bytes.");
  }
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (mapped == MAP_FAILED) throw systemError("BAD_MODEL", "map", path);
  mapped_ = static_cast<const std::byte*>(mapped);
  try {
    uint64_t headerBytes = 0;
    std::memcpy(&headerBytes, mapped_, lengthBytes);
    if (headerBytes > size_ - lengthBytes) {
      throw Error("BAD_MODEL",
                  path + " is not a safetensors file, or was cut off: its header would have " +
                      std::to_string(headerBytes) + " bytes.");
    }
    dataStart_ = lengthBytes + headerBytes;
    auto header = parseSafetensorsHeader(
        {reinterpret_cast<const char*>(mapped_) + lengthBytes, static_cast<size_t>(headerBytes)});
    for (const auto& [name, info] : header.tensors)
      checkTensor(path, name, info, size_ - dataStart_);
    tensors_ = std::move(header.tensors);
    metadata_ = std::move(header.metadata);
  } catch (const std::invalid_argument& error) {
    ::munmap(mapped, size_);
    throw Error("BAD_MODEL", path + " is not a safetensors file: " + error.what() + ".");
  } catch (...) {
    ::munmap(mapped, size_);
    throw;
  }
}

SafetensorsFile::~SafetensorsFile() {
  if (mapped_ != nullptr) ::munmap(const_cast<std::byte*>(mapped_), size_);
}

const std::byte* SafetensorsFile::data(const TensorInfo& tensor) const {
  return mapped_ + dataStart_ + tensor.begin;
}

void writeSafetensors(const std::string& path, std::map<std::string, TensorBytes> tensors,
                      const std::map<std::string, std::string>& metadata) {
  SafetensorsHeader header{{}, metadata};
  uint64_t at = 0;
  for (auto& [name, tensor] : tensors) {
    tensor.info.begin = at;
    at += tensor.size;
    tensor.info.end = at;
    header.tensors[name] = tensor.info;
  }
  const std::string json = writeSafetensorsHeader(header);
  const uint64_t headerBytes = json.size();
  const File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (file.fd() < 0) throw writeError(path);
  writeAll(file.fd(), reinterpret_cast<const std::byte*>(&headerBytes), lengthBytes, path);
  writeAll(file.fd(), reinterpret_cast<const std::byte*>(json.data()), json.size(), path);
  for (const auto& [name, tensor] : tensors) {
    writeAll(file.fd(), tensor.data, tensor.info.end - tensor.info.begin, path);
  }
  if (::fsync(file.fd()) != 0) throw writeError(path);
}

}  // namespace listwise::core
