#include "environment.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/version.h>

#include "error.h"
#include "kernels/kernels.h"

namespace listwise::core {

Environment environment() {
  return {TORCH_VERSION, at::hasCUDA(), at::get_num_threads(), kernels::table().name};
}

void setThreads(int threads) {
  if (threads < 1) throw invalidArgument("Expected a whole number above 0 for threads.");
  at::set_num_threads(threads);
}

}  // namespace listwise::core
