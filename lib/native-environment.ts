/** What the addon says of itself and of the machine. */
export interface NativeEnvironment {
  torch: string;
  /** Whether there is a CUDA device that this libtorch can use. */
  cuda: boolean;
  threads: number;
  /** Instruction set of the fused CPU kernels; the variable LISTWISE_KERNELS asks for another one. */
  kernels: string;
  /** Whether the addon was compiled with kernels for CUDA; without, a GPU works by libtorch's operations alone. */
  cudaKernels: boolean;
  /** The compute capability of each CUDA device, such as '9.0'. */
  devices: string[];
}
