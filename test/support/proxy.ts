// A TCP proxy in front of one server, for whoever knows the server by the proxy's port: it can fall silent, or reject, while everybody
// else reaches the server. So the managers alone are cut off from a host. Used by rig.ts.

import { connect, createServer, type Server, type Socket } from 'node:net';

/** passes: as if it were not there. silent: takes connections and bytes, and nothing comes back. rejects: resets all, refuses new ones. */
type ProxyMode = 'passes' | 'silent' | 'rejects';

export interface TcpProxy {
  /** IP:PORT. */
  readonly host: string;
  become(mode: ProxyMode): Promise<void>;
  /** From now on another server is behind this address; who is connected must connect anew. */
  lead(to: { readonly port: number }): void;
  /** Falls silent for connections of this MySQL account alone; null: for nobody. */
  ignore(user: string | null): void;
  close(): Promise<void>;
}

interface Line {
  readonly client: Socket;
  readonly server: Socket;
  /** What the client said first: its account is in there. */
  greeting: string;
}

export async function startProxy(behind: { readonly port: number }): Promise<TcpProxy> {
  const lines = new Set<Line>();
  let target = behind;
  let mode: ProxyMode = 'passes';
  let ignored: string | null = null;
  const isSilent = ({ greeting }: Line) => mode === 'silent' || (ignored !== null && greeting.includes(ignored));
  const listener = createServer((client) => {
    const server = connect(target.port, '127.0.0.1');
    const line: Line = { client, server, greeting: '' };
    lines.add(line);
    client.on('data', (data) => {
      if (line.greeting === '') line.greeting = data.toString('latin1');
      if (!isSilent(line)) server.write(data);
    });
    server.on('data', (data) => {
      if (!isSilent(line)) client.write(data);
    });
    const end = () => {
      lines.delete(line);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) socket.on('error', end).on('close', end);
  });
  const port = await listen(listener, 0);
  return {
    host: `127.0.0.1:${port}`,
    become: async (next) => {
      const wasListening = mode !== 'rejects';
      mode = next;
      if (next === 'rejects') {
        const closed = new Promise((resolve) => listener.close(resolve));
        for (const { client } of lines) client.resetAndDestroy();
        await closed;
      } else if (!wasListening) {
        await listen(listener, port);
      }
    },
    lead: (to) => {
      target = to;
      for (const { client } of lines) client.resetAndDestroy();
    },
    ignore: (user) => {
      ignored = user;
    },
    close: async () => {
      const closed = new Promise((resolve) => listener.close(resolve));
      for (const { client } of lines) client.destroy();
      await closed;
    },
  };
}

function listen(listener: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(port, '127.0.0.1', () => {
      listener.off('error', reject);
      const address = listener.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}
