#include "environment.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/version.h>

#include "kernels/kernels.h"

namespace listwise::core {

Environment environment() {
  return {TORCH_VERSION, at::hasCUDA(), at::get_num_threads(), kernels::table().name};
}

}  // namespace listwise::core
