#pragma once
#include <string>
#include <vector>

namespace listwise::core {

struct Environment {
  std::string torch;                 // version the addon runs on
  bool cuda = false;                 // a CUDA device can be used
  int threads = 0;                   // of one operation
  std::string kernels;               // instruction set of the fused kernels
  bool cudaKernels = false;          // whether nvcc compiled kernels for a GPU
  std::vector<std::string> devices;  // the compute capability of each CUDA device, such as "9.0"
};

Environment environment();

}  // namespace listwise::core
