import { Socket } from 'node:net';

// Given to Node by --import: a process that finds no network at all.
Socket.prototype.connect = function connect() {
  process.nextTick(() => this.destroy(Object.assign(new Error('connect ENETUNREACH'), { code: 'ENETUNREACH' })));
  return this;
};
