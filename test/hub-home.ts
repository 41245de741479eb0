import { temporaryDirectory } from './helpers.js';
import { type HubServer, startHubServer } from './servers/hub.js';

const VARIABLES = ['HF_HOME', 'HF_HUB_CACHE', 'HF_ENDPOINT', 'HF_TOKEN', 'HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'];

/** The Hub of the test that runs, and the directory that HF_HOME names, where `useHub` was called. */
export let hub: HubServer;
export let home: string;

/** Every test of the `describe` that this stands in has a Hub with these files, an empty HF_HOME, and no other variable. */
export function useHub(files: Record<string, Buffer>): void {
  const before: Record<string, string | undefined> = {};

  beforeEach(async () => {
    for (const name of VARIABLES) {
      before[name] = process.env[name];
      delete process.env[name];
    }
    home = temporaryDirectory();
    process.env.HF_HOME = home;
    await start(files);
  });

  afterEach(async () => {
    await hub.close();
    for (const name of VARIABLES) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });
}

/** Another Hub with other files, in place of the test's. */
export async function replaceHub(files: Record<string, Buffer>): Promise<void> {
  await hub.close();
  await start(files);
}

async function start(files: Record<string, Buffer>): Promise<void> {
  hub = await startHubServer(files);
  process.env.HF_ENDPOINT = hub.url;
}
