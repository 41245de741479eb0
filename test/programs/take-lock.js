// Takes the lock at the time given, says whether it did, and holds it until its input ends.
import { tryLock } from '../../lib/setup/lock.js';

const [file, at] = process.argv.slice(2);
while (Date.now() < Number(at));
const lock = tryLock(String(file));
process.stdout.write('release' in lock ? 'taken\n' : `held by ${lock.holder?.pid}\n`);
process.stdin.resume();
