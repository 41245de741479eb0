// The row jobs on CUDA: a block of threads is a row's team.
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/BFloat16.h>

#include <algorithm>

#include "row_jobs.h"

namespace listwise::core::kernels {
namespace {

constexpr int warp = 32;
constexpr int mostThreads = 256;

struct Block {
  __device__ int64_t first() const { return threadIdx.x; }
  __device__ int64_t step() const { return blockDim.x; }

  __device__ float sum(float x) const {
    __shared__ float parts[mostThreads / warp];
    for (int offset = warp / 2; offset > 0; offset /= 2)
      x += __shfl_down_sync(0xFFFFFFFFu, x, offset);
    __syncthreads();  // the parts of an earlier sum have been read
    if (threadIdx.x % warp == 0) parts[threadIdx.x / warp] = x;
    __syncthreads();
    float total = 0;
    for (int i = 0; i < static_cast<int>(blockDim.x) / warp; ++i) total += parts[i];
    return total;
  }
};

template <class Job>
__global__ void __launch_bounds__(mostThreads) runRow(Job job) {
  job(Block(), static_cast<int64_t>(blockIdx.x));
}

}  // namespace

template <class Job>
void launchOnCuda(const Job& job, int64_t rows, int64_t columns) {
  if (rows == 0) return;
  const int64_t threads =
      std::clamp<int64_t>((columns + warp - 1) / warp * warp, warp, mostThreads);
  runRow<<<static_cast<unsigned>(rows), static_cast<unsigned>(threads), 0,
           c10::cuda::getCurrentCUDAStream()>>>(job);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

bool runsOnCuda() {
  cudaFuncAttributes unused;
  if (cudaFuncGetAttributes(&unused, runRow<AddNorm<float>>) == cudaSuccess) return true;
  cudaGetLastError();  // or the next launch's check would find it
  return false;
}

#define LISTWISE_ROW_JOBS(T)                                                \
  template void launchOnCuda(const BiasGelu<T>&, int64_t, int64_t);         \
  template void launchOnCuda(const AddNorm<T>&, int64_t, int64_t);          \
  template void launchOnCuda(const NormBackwardRow<T>&, int64_t, int64_t);  \
  template void launchOnCuda(const NormBackwardSums<T>&, int64_t, int64_t); \
  template void launchOnCuda(const AddRow<T>&, int64_t, int64_t);           \
  template void launchOnCuda(const Rotate<T>&, int64_t, int64_t);

LISTWISE_ROW_JOBS(float)
LISTWISE_ROW_JOBS(c10::BFloat16)

}  // namespace listwise::core::kernels
