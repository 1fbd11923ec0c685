// What `npm test` runs once packaging/prepare.mjs has made the machine ready: one stage after the other, cheapest first,
// stopping at the first that fails. The last line says how many tests passed and failed, and nothing else.

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const STAGES = [
  { name: 'types', script: 'check:types' },
  { name: 'lint', script: 'check:lint' },
  { name: 'unused', script: 'check:unused' },
  { name: 'build', script: 'build' },
  { name: 'unit', project: 'unit' },
  { name: 'servers', project: 'servers' },
  { name: 'faults', project: 'faults' },
];

const results = await mkdtemp(join(tmpdir(), 'mmm-test-'));
const sum = { passed: 0, failed: 0, skipped: 0 };
const began = performance.now();
try {
  for (const [at, stage] of STAGES.entries()) {
    if (await passes(stage)) continue;
    const left = STAGES.slice(at + 1).map(({ name }) => name);
    if (left.length > 0) console.log(`not run because of that: ${left.join(', ')}`);
    break;
  }
} finally {
  await rm(results, { recursive: true, force: true });
}
console.log(`all stages: ${seconds(began)} s`);
// A run that found no test is a broken run, not a clean one.
if (sum.failed > 0 || sum.passed === 0) process.exitCode = 1;
console.log(`${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ''}`);

async function passes({ name, script, project }) {
  const stageBegan = performance.now();
  console.log(`-- ${name}`);
  const ok = script === undefined ? await runTests(project) : (await run('npm', ['run', '--silent', script])) === 0;
  if (ok) console.log(`-- ${name}: ${seconds(stageBegan)} s`);
  else {
    // A stage without tests of its own counts as one failure, so that the last line never looks clean.
    if (script !== undefined) sum.failed += 1;
    console.log(`-- ${name}: FAILED after ${seconds(stageBegan)} s`);
  }
  return ok;
}

async function runTests(project) {
  const file = join(results, `${project}.json`);
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const code = await run(process.execPath, [vitest, 'run', '--project', project, ...reporters]);
  const counts = await count(file);
  // vitest also fails a run whose tests all passed: a promise rejected outside them, a hook at the end, no test at all.
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  for (const key of Object.keys(sum)) sum[key] += counts[key];
  return counts.failed === 0;
}

/** Counts what vitest wrote; a test file that could not be loaded has no tests in it, and counts as one failure. */
async function count(file) {
  let report;
  try {
    report = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    console.error(`no test results: ${error.message}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const broken = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/** Runs to the end with our own output, and gives the exit code; a death by signal counts as 1. */
function run(program, words) {
  return new Promise((resolve) => {
    const child = spawn(program, words, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', (error) => {
      console.error(`${program}: ${error.message}`);
      resolve(1);
    });
    child.on('close', (code) => resolve(code ?? 1));
  });
}

function seconds(since) {
  return ((performance.now() - since) / 1000).toFixed(1);
}
