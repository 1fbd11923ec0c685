// Starts the simulator from its TypeScript: bundles cli.ts with the code under test, because Node 20 runs no TypeScript by itself.
// `--seconds N` shares the seeds out among as many threads as there are cores.

import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { build } from 'esbuild';

if (isMainThread) {
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
    const sim = await import(pathToFileURL(outfile).href);
    const args = process.argv.slice(2);
    process.exitCode = args.includes('--seconds') ? await onAllCores(sim, outfile, args) : await sim.main(args);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
} else {
  const { runMany } = await import(pathToFileURL(workerData.outfile).href);
  parentPort.postMessage(await runMany(workerData.options, console.log));
}

async function onAllCores(sim, outfile, args) {
  const after = (flag, otherwise) => (args.includes(flag) ? Number(args[args.indexOf(flag) + 1]) : otherwise);
  const threads = after('--threads', availableParallelism());
  const from = after('--from', 1);
  const seconds = after('--seconds') / threads;
  const began = performance.now();
  const sums = await Promise.all(
    Array.from({ length: threads }, (_, at) => {
      const lossless = sim.durabilityIn(args);
      const options = { from: from + at, step: threads, seeds: Number.POSITIVE_INFINITY, seconds, lossless };
      return inThread({ outfile, options });
    }),
  );
  return sim.tell(sums.reduce(sim.added, sim.noSums()), (performance.now() - began) / 1000, console.log);
}

function inThread(workerData) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData });
    worker.on('message', resolve);
    worker.on('error', reject);
  });
}
