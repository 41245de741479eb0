// Encodes a long text where there is room for all matrices but not for what attention works in, then a short one, and
// prints what became of both, for test/memory.spec.ts.
import { readModelDirectory } from '../../lib/models/directory.js';
import { native, runJob } from '../../lib/native.js';
import { limitAddressSpace } from '../address-space.js';
import { norm, writeTinyModel } from '../helpers.js';

// Attention works in 352 bytes a token, 70 MB, which malloc cannot have at hand.
const [LONG, SHORT] = [200_000, 100];
const config = { hidden_size: 8, num_attention_heads: 1, intermediate_size: 8, num_hidden_layers: 1 };

const {
  architecture,
  weightNames,
  weightFiles: files,
} = await readModelDirectory(writeTinyModel(undefined, { config }));
const unlimited = { ...architecture, maxPositions: LONG, positionRows: 0 };
const encoder = await runJob(() =>
  native().loadEncoder({ files, architecture: unlimited, weightNames, device: 'cpu', precision: 'fp32' }),
);

function encode(length: number): Promise<Float32Array> {
  const text = { ids: Int32Array.from({ length }, (_, i) => i % 50), offsets: Int32Array.of(0, length) };
  return runJob(() => encoder.encode({ ...text, pooling: 'mean', normalize: true, tokenBudget: 4096 }));
}

await encode(SHORT);
limitAddressSpace(85);
const outcome = await encode(LONG).then(
  () => ({}),
  ({ code, message }) => ({ code, message }),
);
limitAddressSpace();
console.log(JSON.stringify({ ...outcome, length: norm(await encode(SHORT)) }));
