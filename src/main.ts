// The entry of the one executable: finds the command by the words or by the program's own name, hands it to oclif, and
// turns whatever comes back into an exit code. Goes on to commands/index.ts.

import type { Command } from '@oclif/core/command';
import type { Config } from '@oclif/core/config';
import type { Plugin } from '@oclif/core/interfaces';
import { explain } from '../commands/failure.ts';
import { COMMANDS, commandLine } from '../commands/index.ts';
import { MmmError } from './core/errors.ts';
import { nearest } from './core/nearest.ts';

/** What packaging/build.mjs knows and writes into the bundle. */
declare const MMM_BUILD: {
  readonly version: string;
  /** null: built outside a git checkout. */
  readonly commit: string | null;
  /** Flags, summaries and examples of all commands, so that help need not load them. */
  readonly commands: Readonly<Record<string, Command.Cached>>;
};

const DESCRIPTION = `Keeps exactly one writable master in every MySQL two-master pair.
monitor watches both hosts, identify decides which one is the active, agent makes the servers so.

Called through a link named mmm-monitor, mmm-identify, mmm-agent, mmm-status, mmm-uniqsign or mmm-sign-gen, it acts as that command.

Exit codes: 0 done, 1 failed, 2 usage or configuration. More about a command: mmm COMMAND --help`;

async function main(words: readonly string[]): Promise<void> {
  const [first, second] = words;
  if (first === '--version' || (first !== undefined && Object.hasOwn(COMMANDS, first) && second === '--version')) {
    process.stdout.write(`${versionLine()}\n`);
    return;
  }
  if (first === undefined || first === 'help' || words.some(isHelpFlag)) {
    await showHelp(words.filter((word) => word !== 'help' && !isHelpFlag(word)));
    return;
  }
  checkCommand(first);
  await (await loadConfig()).runCommand(first, words.slice(1));
}

async function showHelp(words: readonly string[]): Promise<void> {
  const name = words.find((word) => !word.startsWith('-'));
  if (name !== undefined) checkCommand(name);
  const { Help } = await import('@oclif/core/help');
  const config = await loadConfig();
  config.userAgent = versionLine();
  await new Help(config).showHelp(name === undefined ? [] : [name]);
}

/** oclif's view of this program, made of what is in this file: nothing is looked for in the working directory or beside the file. */
async function loadConfig(): Promise<Config> {
  const { Config } = await import('@oclif/core/config');
  const plugin = embeddedPlugin();
  return Config.load({ root: plugin.root, pjson: plugin.pjson, plugins: new Map([[plugin.name, plugin]]) });
}

function isHelpFlag(word: string): boolean {
  return word === '--help' || word === '-h';
}

function checkCommand(name: string): void {
  if (Object.hasOwn(COMMANDS, name)) return;
  if (name.startsWith('-')) throw new MmmError('usage', `${name}: a command comes first; mmm --help lists them`);
  const meant = nearest(name, Object.keys(COMMANDS));
  throw new MmmError(
    'usage',
    `unknown command ${name}${meant === undefined ? '' : `, did you mean ${meant}?`} (mmm --help lists them)`,
  );
}

function versionLine(): string {
  const commit = MMM_BUILD.commit === null ? '' : ` (${MMM_BUILD.commit})`;
  const { bun, node } = process.versions;
  const runtime = bun === undefined ? `node ${node}` : `bun ${bun}`;
  return `mmm ${MMM_BUILD.version}${commit} on ${runtime}, ${process.platform}-${process.arch}`;
}

/**
 * The root plugin ready-made. Left to itself oclif looks on disk for package.json, a manifest and the commands, and
 * a single file has none of them: what it would find is the caller's.
 */
function embeddedPlugin(): Plugin {
  const name = 'mmm';
  const root = '/nonexistent';
  const { version } = MMM_BUILD;
  const load = async (id: string): Promise<Command.Class> => {
    const loader = COMMANDS[id];
    if (loader === undefined) throw new MmmError('failed', `no command ${id} in this file`);
    const command = await loader();
    command.id = id;
    return command;
  };
  const commands = Object.entries(MMM_BUILD.commands).map(([id, cached]) => ({
    ...cached,
    pluginAlias: name,
    pluginName: name,
    pluginType: 'core',
    load: () => load(id),
  }));
  return {
    _base: '@oclif/core',
    name,
    alias: name,
    version,
    root,
    type: 'core',
    moduleType: 'commonjs',
    valid: true,
    isRoot: true,
    hasManifest: true,
    hooks: {},
    topics: [],
    options: { root },
    commandsDir: undefined,
    commandIDs: commands.map(({ id }) => id),
    commands,
    pjson: {
      name,
      version,
      description: DESCRIPTION,
      oclif: { bin: name },
    },
    findCommand: load,
    load: async () => undefined,
  };
}

function fail(error: unknown): void {
  const { text, exit } = explain(error, process.argv, process.env);
  if (text !== '') process.stderr.write(`${text}\n`);
  process.exit(exit);
}

// What nobody awaits or catches ends the process all the same, but in one line; the service manager starts a new one.
process.on('uncaughtException', fail);
// Explicit exit: a library that leaves a timer behind must not keep a stopped daemon alive. Standard output is
// synchronous for files, pipes and terminals here, so nothing printed is lost.
main(commandLine(process)).then(() => process.exit(), fail);
