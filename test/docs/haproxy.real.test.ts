// What the README and the runbook say about HAProxy, tried: the example is accepted, and the commands move the role and bring it back.

import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { type Program, startProgram } from '../../src/sandbox/lifetime.ts';
import { freePort, needProgram } from '../../src/sandbox/programs.ts';
import { aRig, type Rig } from '../support/rig.ts';
import { until } from '../support/until.ts';
import { blocksOf, readDocument } from './markdown.ts';

const [example] = blocksOf(readDocument('README.md')).filter(({ language }) => language === 'haproxy');
const commands = blocksOf(readDocument('docs/runbook.md')).flatMap(({ text }) => {
  const said = /^echo "(.*)" \| socat/m.exec(text)?.[1];
  return said === undefined ? [] : [said];
});

let rig: Rig;
let haproxy: Program | undefined;
afterEach(async () => {
  await rig.close();
  await haproxy?.kill();
});

function ask(socket: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket);
    let answer = '';
    connection.on('data', (chunk) => {
      answer += chunk.toString();
    });
    connection.once('error', reject);
    connection.once('end', () => resolve(answer.trim()));
    connection.end(`${command}\n`);
  });
}

it('the example is accepted, and moving the clients moves the role there and back, with one writer all the time', async () => {
  // The role moves twice in a row.
  rig = await aRig({ pair: { min_failover_interval: '0' } });
  const { a, b, dir } = rig;
  const socket = join(dir, 'admin.sock');
  const port = await freePort();
  const file = join(dir, 'readme.cfg');
  const text = (example?.text ?? '')
    .replace('/run/haproxy/admin.sock', socket)
    .replace('127.0.0.1:3306', `127.0.0.1:${port}`)
    .replace('10.0.21.5:3308', a.host)
    .replace('10.0.21.7:3308', b.host);
  await writeFile(file, text);
  const command = needProgram(['haproxy']);
  const { stderr } = await promisify(execFile)(command, ['-c', '-f', file]);
  expect(stderr).toBe('');
  await rig.writable(a);
  await rig.replicating();
  haproxy = await startProgram({ command, args: ['-db', '-f', file], outputFile: join(dir, 'ha.log'), cwd: dir });
  const { register } = rig.client([`127.0.0.1:${port}`]);
  await until('the client writes through HAProxy', () => register.size > 20);

  const [away = '', back = ''] = commands;
  expect(await ask(socket, away)).toBe('');
  await rig.writable(b);
  await until('the client writes to the other host', () => register.firstOn(b.port, 0) !== undefined);
  const movedMs = performance.now();
  expect(await ask(socket, back)).toBe('');
  await rig.writable(a);
  await until('the client writes to the first host again', () => register.firstOn(a.port, movedMs) !== undefined);
  expect(rig.watch.bothWritableMs).toBe(0);
});
