/** Scores the requests of the tests by a server, into a journal: for tests that kill the process. */
import { settleTeacher } from '../../lib/teachers/choice.js';
import { ScoreJournal } from '../../lib/teachers/journal.js';
import { openTeacher, type StandaloneChoice } from '../../lib/teachers/open.js';
import { scoreMissing } from '../../lib/teachers/scoring.js';
import { requestsOf } from '../servers/rerankers.js';

const [url, file, queries, passages] = process.argv.slice(2) as [string, string, string, string];
const choice = { kind: 'tei', url, batchSize: 5, concurrency: 4, backoff: 0.01 };
const teacher = await openTeacher(settleTeacher(choice) as StandaloneChoice);
const requests = requestsOf(Number(queries), Number(passages));
const journal = await ScoreJournal.open(file, 'test');
await scoreMissing(teacher, () => requests, { journal, total: requests.length });
await journal.close();
