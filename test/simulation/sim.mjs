// Starts the simulator from its TypeScript: bundles cli.ts with the code under test, because Node 20 runs no TypeScript by itself.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

if (process.argv.includes('--mutants')) {
  const { main } = await import('./mutants.mjs');
  process.exit(await main(process.argv.slice(2).filter((word) => word !== '--mutants')));
}
const folder = await mkdtemp(join(tmpdir(), 'mmm-sim-'));
const outfile = join(folder, 'sim.mjs');
try {
  await build({
    entryPoints: [join(import.meta.dirname, 'cli.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  });
  const { main } = await import(pathToFileURL(outfile).href);
  process.exitCode = await main(process.argv.slice(2));
} finally {
  await rm(folder, { recursive: true, force: true });
}
