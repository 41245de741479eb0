// Prints what the kernels that LISTWISE_KERNELS names compute, for test/kernels.spec.ts.
import { native } from '../../lib/native.js';
import { compute, tinySpec } from '../kernel-task.js';

const { embeddings, gradients } = await compute(await tinySpec('gelu', { kernels: 'fused', precision: 'fp32' }));
const gradient = gradients.flatMap(({ values }) => Array.from(values));
console.log(JSON.stringify({ kernels: native().environment().kernels, embeddings: Array.from(embeddings), gradient }));
