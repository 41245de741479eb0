#pragma once
#include <string>

namespace listwise::core {

struct Environment {
  std::string torch;    // version the addon runs on
  bool cuda = false;    // a CUDA device can be used
  int threads = 0;      // of one operation
  std::string kernels;  // instruction set of the fused kernels
};

Environment environment();

}  // namespace listwise::core
