import { ByteWriter, ParquetWriter, type SchemaElement } from 'hyparquet-writer';
import { breather } from '../event-loop.js';
import { replaceFile } from '../formats/atomic.js';
import { writing } from '../formats/writing.js';
import type { EmbeddedTexts } from './target.js';

/** Rows that are encoded between two turns of the event loop. */
const GROUP = 500;

const SCHEMA: SchemaElement[] = [
  { name: 'root', num_children: 3 },
  { name: '_id', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
  { name: 'text', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
  { name: 'embedding', converted_type: 'LIST', num_children: 1, repetition_type: 'REQUIRED' },
  { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
  { name: 'element', type: 'FLOAT', repetition_type: 'REQUIRED' },
];

/**
 * Writes embeddings as a Parquet file with the columns `_id`, `text` (as the model read it, without prefix) and
 * `embedding` (a list of 32-bit floats), and how they were made in its key-value metadata under `listwise`.
 * @throws WriteError; `signal.reason` when aborted, and the file is then as it was before
 */
export async function writeParquet(file: string, { record, texts, values, signal }: EmbeddedTexts): Promise<void> {
  const { ids, ...about } = record;
  const { dimension } = about;
  const bytes = new ByteWriter();
  const kvMetadata = [{ key: 'listwise', value: JSON.stringify(about) }];
  const createdBy = 'listwise';
  const writer = new ParquetWriter({ writer: bytes, schema: SCHEMA, statistics: false, kvMetadata, createdBy });
  const breathe = breather(signal);
  for (let start = 0; start < ids.length; start += GROUP) {
    const end = Math.min(start + GROUP, ids.length);
    const rows = Array.from({ length: end - start }, (_, i) =>
      Array.from(values.subarray((start + i) * dimension, (start + i + 1) * dimension)),
    );
    const columnData = [
      { name: '_id', data: ids.slice(start, end) },
      { name: 'text', data: texts.slice(start, end) },
      // Dictionaries gain nothing here.
      { name: 'embedding', data: rows, encoding: 'PLAIN' as const },
    ];
    await writer.write({ columnData });
    await breathe();
  }
  await writer.finish();
  await replaceFile(file, (handle) => writing(file, () => handle.writeFile(bytes.getBytes())));
}
