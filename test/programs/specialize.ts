// A run in a process of its own: the options are JSON on the command line; each event and progress is a line.
import { specialize } from '../../lib/specialize/specialize.js';

const tell = (...words: (string | number)[]) => process.stdout.write(`${words.join(' ')}\n`);
try {
  await specialize({
    ...JSON.parse(String(process.argv[2])),
    onStage: ({ stage, status }) => tell(stage, status),
    onProgress: ({ stage, done }) => tell(stage, done),
  });
  tell('complete');
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  tell('failed', JSON.stringify({ code, message }));
  process.exitCode = 1;
}
