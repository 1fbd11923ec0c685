// Makes a fresh machine ready for `npm start` and `npm test`: the npm packages of the lock file, and the database, Redis and
// HAProxy programs that the sandbox and the tests start for themselves. Plain Node without dependencies, for it runs before
// there are any. `--tests` adds what only the tests need. Says nothing when nothing is to do. Next: packaging/build.mjs.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LEAST_NODE = [20, 19];
const POLICY = '/usr/sbin/policy-rc.d';

/** What is needed: any of `names` will do. One that is not required says what is done `without` it; `onlyFor` names the flag that asks for it. */
const PROGRAMS = [
  { names: ['mariadbd', 'mysqld'], debian: 'mariadb-server-core', redHat: 'mariadb-server', required: true },
  { names: ['mariadb-install-db'], debian: 'mariadb-server-core', redHat: 'mariadb-server', required: true },
  // mariadb-install-db calls this one, and Debian ships it with the client.
  { names: ['my_print_defaults'], debian: 'mariadb-client-core', redHat: 'mariadb', required: true },
  { names: ['redis-server'], debian: 'redis-server', redHat: 'redis', required: true },
  {
    names: ['haproxy'],
    debian: 'haproxy',
    redHat: 'haproxy',
    required: false,
    without: 'mmm then uses its own failover client',
  },
  // The tests let systemd itself read the units, and hear what the daemons tell it. Nothing of it runs as a service.
  { names: ['systemd-analyze'], debian: 'systemd', redHat: 'systemd', required: true, onlyFor: '--tests' },
  {
    names: ['ip'],
    debian: 'iproute2',
    redHat: 'iproute',
    required: false,
    without: 'the fault suite is then skipped',
    onlyFor: '--tests',
  },
  // A library of some lines that makes one server's clock jump.
  {
    names: ['cc'],
    debian: 'gcc libc6-dev',
    redHat: 'gcc',
    required: false,
    without: "no server's clock jumps in the tests then",
    onlyFor: '--tests',
  },
  { names: ['mariadb-binlog'], debian: 'mariadb-client', redHat: 'mariadb', required: true, onlyFor: '--tests' },
  { names: ['perl'], debian: 'perl-base', redHat: 'perl-interpreter', required: true, onlyFor: '--tests' },
];

function main() {
  checkNode();
  if (!packagesMatchLock()) installPackages();
  let missing = missingPrograms();
  if (missing.length > 0 && canUseApt()) {
    installPrograms(missing);
    missing = missingPrograms();
  }
  if (missing.length > 0) {
    console.error(advice(missing));
    if (missing.some((program) => program.required)) process.exit(1);
  }
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [leastMajor, leastMinor] = LEAST_NODE;
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return;
  console.error(
    `mmm needs Node ${LEAST_NODE.join('.')} or newer, this is ${process.versions.node}: https://nodejs.org`,
  );
  process.exit(1);
}

/**
 * Compares what npm says it installed with what the lock file wants, by content: a checkout changes file times without
 * changing anything, and a package that npm leaves out on this platform must not make us install again and again.
 */
function packagesMatchLock() {
  const installedFile = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  const names = new Set([...Object.keys(wanted), ...Object.keys(installed)]);
  names.delete('');
  for (const name of names) {
    const leftOut = installed[name] === undefined && (wanted[name].optional || wanted[name].devOptional);
    if (!leftOut && installed[name]?.version !== wanted[name]?.version) return false;
  }
  return true;
}

function installPackages() {
  console.log('Installing the npm packages of package-lock.json ...');
  // The same npm that runs us, when one does; dev packages even where NODE_ENV=production is set.
  const npm = process.env.npm_execpath;
  const args = ['ci', '--include=dev', '--no-audit', '--no-fund'];
  const result = npm?.endsWith('.js') ? run(process.execPath, [npm, ...args]) : run('npm', args);
  if (result === 0) return;
  console.error('"npm ci" failed: see above.');
  process.exit(1);
}

function missingPrograms() {
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/local/sbin',
    '/sbin',
    '/usr/libexec',
  ];
  const found = (name) => folders.some((folder) => folder !== '' && isExecutable(join(folder, name)));
  const wanted = PROGRAMS.filter(({ onlyFor }) => onlyFor === undefined || process.argv.includes(onlyFor));
  return wanted.filter((program) => !program.names.some(found));
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function canUseApt() {
  return process.getuid?.() === 0 && existsSync('/etc/debian_version') && isExecutable('/usr/bin/apt-get');
}

/** Installs the programs, and starts none of them: the sandbox starts its own in a folder of its own. */
function installPrograms(missing) {
  const names = [...new Set(missing.flatMap((program) => program.debian.split(' ')))];
  console.log(`Installing ${names.join(', ')} (no service is started) ...`);
  // Debian asks this program before it starts a service; 101 means no. One that is already there is the owner's.
  const forbid = !existsSync(POLICY);
  // A Ctrl-C then comes after the `finally` below, which takes our refusal away again.
  process.once('SIGINT', () => process.exit(130));
  if (forbid) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const quiet = ['-qq', '-o', 'Dpkg::Use-Pty=0', '-o', 'DPkg::Lock::Timeout=120'];
  const install = (packages) =>
    run('apt-get', [...quiet, 'install', '-y', '--no-install-recommends', ...packages], env);
  try {
    run('apt-get', [...quiet, 'update'], env);
    // When they do not go in together, one that cannot be had must not keep the others away.
    if (install(names) !== 0 && names.length > 1) for (const name of names) install([name]);
  } finally {
    if (forbid) rmSync(POLICY, { force: true });
  }
}

/** The output of a command that goes well is of no interest; that of a failed one is shown. */
function run(command, args, env = process.env) {
  const result = spawnSync(command, args, { cwd: root, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (result.status !== 0) console.error(result.error?.message ?? `${result.stdout}${result.stderr}`.trim());
  return result.status;
}

function advice(missing) {
  const lines = missing.map(
    (program) => `  ${program.names.join(' or ')}${program.required ? '' : ` (optional: ${program.without})`}`,
  );
  const packages = (family) => [...new Set(missing.map((program) => program[family]))].join(' ');
  return [
    'These programs are missing:',
    ...lines,
    'Install them and run this command again (as root on Debian or Ubuntu it installs them itself):',
    `  Debian, Ubuntu:          apt-get install --no-install-recommends ${packages('debian')}`,
    `  CentOS, RHEL, Fedora:    dnf install ${packages('redHat')}`,
  ].join('\n');
}

main();
