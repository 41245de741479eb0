// Prints what the kernels that LISTWISE_KERNELS names compute, for test/kernels.spec.ts.
import { native } from '../../lib/native.js';
import { compute, embeddings as embed, tinySpec } from '../kernel-task.js';

const { embeddings, gradients } = await compute(await tinySpec('gelu', { kernels: 'fused', precision: 'fp32' }));
const gradient = gradients.flatMap(({ values }) => Array.from(values));
const int8 = Array.from(await embed(await tinySpec('gelu', { precision: 'int8' })));
const { kernels } = native().environment();
console.log(JSON.stringify({ kernels, embeddings: Array.from(embeddings), gradient, int8 }));
