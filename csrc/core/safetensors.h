#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace listwise::core {

struct TensorInfo {
  std::string dtype;  // as in the format: F32, F16, BF16, F64, I64, ...
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // bytes, counted from the end of the header
  uint64_t end = 0;
};

// A safetensors file mapped into memory, read only. Throws BAD_MODEL naming the file where the
// header or a tensor's place is wrong; nothing outside the file is ever read.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& path() const { return path_; }
  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::byte* data(const TensorInfo& tensor) const;

 private:
  std::string path_;
  const std::byte* mapped_ = nullptr;
  uint64_t size_ = 0;
  uint64_t dataStart_ = 0;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

// One tensor to write: its bytes are borrowed until the file is written.
struct TensorBytes {
  TensorInfo info;  // begin and end are set by the writer
  const std::byte* data = nullptr;
  uint64_t size = 0;  // in bytes
};

// Writes a safetensors file, tensors in the order of their names, synced to disk. The caller
// renames it into place.
void writeSafetensors(const std::string& path, std::map<std::string, TensorBytes> tensors,
                      const std::map<std::string, std::string>& metadata);

}  // namespace listwise::core
