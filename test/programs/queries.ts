import { writeQueries } from '../../lib/queries/write-queries.js';

/** Writes queries with the options that it is given as JSON; for tests that kill it. */
await writeQueries(JSON.parse(process.argv[2]!));
