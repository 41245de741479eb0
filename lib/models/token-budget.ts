/**
 * Most tokens of a micro-batch on a device ('cpu', 'cuda', 'cuda:1'), where memory allows. On a CPU more make no matrix
 * product faster. On a GPU what costs the same for a micro-batch of any size, the launches of its kernels and adding its
 * gradient of the weights to that of the batch, has to be little beside the work.
 */
export function mostTokens(device: string): number {
  return device.startsWith('cuda') ? 32_768 : 4096;
}

/** Tokens in one call of the encoder: two micro-batches, so that progress shows and an abort need not wait for long. */
export function callTokens(device: string): number {
  return 2 * mostTokens(device);
}
