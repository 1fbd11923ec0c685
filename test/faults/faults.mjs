// Starts the long form of the fault suite from its TypeScript: bundles cli.ts, because Node 20 runs no TypeScript by itself.

import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(import.meta.dirname));
// Inside the project, so that packages are found; and where import.meta.dirname is that of the source, for the files beside it.
const outfile = join(import.meta.dirname, `.faults-${process.pid}.mjs`);
await mkdir(dirname(outfile), { recursive: true });
let code = 1;
try {
  await build({
    entryPoints: [join(import.meta.dirname, 'cli.ts')],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  });
  const { main } = await import(pathToFileURL(outfile).href);
  await rm(outfile);
  code = await main(process.argv.slice(2), root);
} finally {
  await rm(outfile, { force: true });
}
process.exit(code);
