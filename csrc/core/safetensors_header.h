#pragma once
#include <map>
#include <string>
#include <string_view>

#include "safetensors.h"

namespace listwise::core {

struct SafetensorsHeader {
  std::map<std::string, TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
};

// Parses the JSON header of a safetensors file: an object of tensors with dtype, shape and
// data_offsets, and an optional __metadata__ object of strings. Throws std::invalid_argument saying
// what is wrong at which byte.
SafetensorsHeader parseSafetensorsHeader(std::string_view json);

std::string writeSafetensorsHeader(const SafetensorsHeader& header);

}  // namespace listwise::core
