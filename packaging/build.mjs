// Bundles src/main.ts with everything it needs into one file, dist/mmm.js, that any Node from 20.19 on runs from any
// directory. Run by `npm run build`. First it bundles the commands alone and asks oclif for their flags and help (the
// manifest), then it writes that, the version and the commit into the real bundle.

import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Plugin } from '@oclif/core';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const began = performance.now();
const pjson = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));

// oclif (through clean-stack) and os.userInfo() throw where HOME and SHELL are missing, as under a bare service manager.
// This has to run before the first module of the bundle.
const BANNER = `#!/usr/bin/env node
process.env.HOME ||= '/'; process.env.SHELL ||= '/bin/sh';`;

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  logLevel: 'warning',
};

/** The commands' flags and help, as oclif caches them, without the traces of where they were built. */
async function manifest() {
  const file = join(root, 'build', `commands-${process.pid}.cjs`);
  await build({ ...common, entryPoints: ['commands/index.ts'], packages: 'external', outfile: file });
  try {
    const { COMMANDS } = createRequire(import.meta.url)(file);
    const classes = {};
    for (const [id, load] of Object.entries(COMMANDS)) classes[id] = await load();
    const plugin = new CommandsAtHand(classes);
    await plugin.load();
    return plugin.manifest.commands;
  } finally {
    await rm(file);
  }
}

class CommandsAtHand extends Plugin {
  constructor(classes) {
    const oclif = { bin: 'mmm', commands: { strategy: 'explicit', target: 'unused', identifier: 'unused' } };
    super({
      isRoot: true,
      root,
      type: 'core',
      ignoreManifest: true,
      errorOnManifestCreate: true,
      respectNoCacheDefault: true,
      pjson: { ...pjson, oclif },
    });
    this.classes = classes;
  }

  // The one method of oclif's that would read the commands from disk.
  async loadCommandsFromTarget() {
    return this.classes;
  }
}

/** Short and marked when the checkout has changes; null outside git. */
function commit() {
  try {
    const options = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    return execFileSync('git', ['describe', '--always', '--dirty', '--abbrev=10', '--exclude=*'], options).trim();
  } catch {
    // A source archive has no history, a build machine may have no git: --version then goes without the commit.
    return null;
  }
}

async function bundle(known) {
  const outfile = join(root, 'dist', 'mmm.js');
  // Beside the target and renamed over it, so that a daemon or a test starting right now finds a whole file.
  const fresh = join(root, 'dist', `.mmm-${process.pid}.js`);
  await mkdir(dirname(outfile), { recursive: true });
  const { warnings, metafile } = await build({
    ...common,
    entryPoints: ['src/main.ts'],
    outfile: fresh,
    banner: { js: BANNER },
    define: { MMM_BUILD: JSON.stringify(known) },
    legalComments: 'none',
    sourcemap: 'external',
    metafile: true,
  });
  if (warnings.length > 0)
    throw new Error(`${warnings.length} warnings: a warning of the bundler is a fault of the build`);
  // The checkout says "type": "module"; the bundle is CommonJS, because that is what the compiled executable takes.
  await writeFile(join(root, 'dist', 'package.json'), '{ "type": "commonjs" }\n');
  await chmod(fresh, 0o755);
  await rename(`${fresh}.map`, `${outfile}.map`);
  await rename(fresh, outfile);
  return metafile;
}

await mkdir(join(root, 'build'), { recursive: true });
const metafile = await bundle({ version: pjson.version, commit: commit(), commands: await manifest() });
const bytes = Object.values(metafile.outputs).find(({ entryPoint }) => entryPoint === 'src/main.ts').bytes;
const seconds = ((performance.now() - began) / 1000).toFixed(1);
console.log(`dist/mmm.js: ${(bytes / 1e6).toFixed(1)} MB in ${seconds} s`);
