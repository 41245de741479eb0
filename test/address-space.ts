import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Bounds the address space of this process to what it has now and so many megabytes; without a number, not at all. */
export function limitAddressSpace(megabytes?: number): void {
  const now = Number(/VmSize:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;
  const bytes = megabytes === undefined ? 'unlimited' : Math.round(now + megabytes * 2 ** 20);
  execFileSync('prlimit', ['--pid', String(process.pid), `--as=${bytes}:unlimited`]);
}
