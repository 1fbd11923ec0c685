// What a host looks like that listens and is no healthy server: peers made of a socket. Healthy ones are in connection.real.test.ts.

import { createServer, type Server as Listener, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { Host } from '../../src/core/pair.ts';
import { openServer } from '../../src/mysql/connection.ts';
import type { Server } from '../../src/mysql/server.ts';

const PASSWORD = 'not-for-logs';
const CONNECT_TIMEOUT_MS = 300;

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

/** A host whose peer does `greet` with each connection. */
async function hostThat(greet: (socket: Socket) => void): Promise<Host> {
  const sockets: Socket[] = [];
  const listener: Listener = createServer((socket) => {
    socket.on('error', () => undefined);
    sockets.push(socket);
    greet(socket);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  opened.push({
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        listener.close(resolve);
      }),
  });
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on a port');
  return `127.0.0.1:${address.port}`;
}

function serverAt(host: Host): Server {
  const server = openServer({
    host,
    access: { database: '', user: 'mmm', password: PASSWORD, charset: 'utf8', connectTimeoutMs: CONNECT_TIMEOUT_MS },
    excludeUsers: [],
    block: null,
  });
  opened.push(server);
  return server;
}

/** The error packet that a server sends instead of a greeting. */
function errorPacket(number: number, message: string): Buffer {
  const body = Buffer.concat([Buffer.from([0xff, number & 0xff, number >> 8]), Buffer.from(`#08004${message}`)]);
  return Buffer.concat([Buffer.from([body.length & 0xff, body.length >> 8, 0, 0]), body]);
}

describe('a host that answers with an error instead of a greeting is alive', () => {
  test.each([
    ['saturated', 1040, 'Too many connections'],
    ['blocked', 1129, "Host 'x' is blocked because of many connection errors"],
    ['blocked', 1130, "Host 'x' is not allowed to connect to this MySQL server"],
    ['server-error', 1053, 'Server shutdown in progress'],
  ])('%s (%i)', async (kind, number, message) => {
    const host = await hostThat((socket) => socket.write(errorPacket(number, message)));
    expect(await serverAt(host).probe()).toEqual({ kind, code: String(number), message });
  });
});

describe('a host that listens and does not speak MySQL is silent, not refused', () => {
  test('frozen: within the connect timeout', async () => {
    const server = serverAt(await hostThat(() => undefined));
    const started = performance.now();
    expect(await server.probe()).toMatchObject({ kind: 'silent', code: 'DEADLINE' });
    expect(performance.now() - started).toBeLessThan(CONNECT_TIMEOUT_MS + 200);
    expect(server.connectionBroke).toBe(false);
  });

  test('a proxy without its server: closes at once', async () => {
    expect((await serverAt(await hostThat((socket) => socket.end())).probe()).kind).toBe('silent');
  });

  test('a firewall that resets', async () => {
    expect((await serverAt(await hostThat((socket) => socket.resetAndDestroy())).probe()).kind).toBe('silent');
  });

  test('a web server', async () => {
    const host = await hostThat((socket) => socket.write('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'));
    expect((await serverAt(host).probe()).kind).toBe('silent');
  });

  test('a name that nobody knows', async () => {
    expect((await serverAt('nobody.invalid:3306').probe()).kind).toBe('silent');
  });
});

test('a port where nothing listens is refused, at once', async () => {
  const host = await hostThat(() => undefined);
  await opened.pop()?.close();
  const server = serverAt(host);
  const started = performance.now();
  expect(await server.probe()).toMatchObject({ kind: 'refused', code: 'ECONNREFUSED' });
  expect(performance.now() - started).toBeLessThan(200);
  expect(server.connectionBroke).toBe(false);
});

test('a step on a host that cannot be reached is a failure of the same kinds, never an exception', async () => {
  const frozen = await hostThat(() => undefined);
  const saturated = await hostThat((socket) => socket.write(errorPacket(1040, 'Too many connections')));
  expect(await serverAt(frozen).apply({ do: 'close', host: frozen })).toMatchObject({ kind: 'silent' });
  expect(await serverAt(saturated).apply({ do: 'stop-io', host: saturated })).toMatchObject({ kind: 'saturated' });
});

test('no failure holds the password', async () => {
  const peers = [await hostThat((socket) => socket.end()), await hostThat(() => undefined)];
  for (const host of peers) expect(JSON.stringify(await serverAt(host).probe())).not.toContain(PASSWORD);
});

test('a closed server stays closed', async () => {
  const server = serverAt(await hostThat(() => undefined));
  await server.close();
  expect((await server.probe()).kind).toBe('silent');
});
