import { createRequire } from 'node:module';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

/**
 * `node transformers-js.js DIRECTORY`: the embeddings that transformers.js, installed in DIRECTORY, gives for the request
 * {model, texts, pooling} on standard input; rows of numbers on standard output.
 */
const home = join(process.argv[2] ?? '.', 'package.json');
const file = createRequire(pathToFileURL(home)).resolve('@huggingface/transformers');
const { env, pipeline } = await import(pathToFileURL(file).href);
env.allowRemoteModels = false;
env.localModelPath = '/';
const { model, texts, pooling } = JSON.parse(await text(process.stdin));
const extract = await pipeline('feature-extraction', model, { dtype: 'fp32' });
const rows = await extract(texts, { pooling, normalize: true });
process.stdout.write(JSON.stringify(rows.tolist()));
