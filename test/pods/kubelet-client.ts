/** What the cases ask of a kubelet: its HTTPS API, the same of the original and of Skiff's. */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import { WebSocket } from 'ws';
import type { KubeList, Pod } from '#contracts/kubernetes/types.ts';

/** How to reach it. */
export interface KubeletAccess {
  /** `https://127.0.0.1:10250`. */
  url: string;
  /** Files of a client certificate and its key (PEM). */
  certificate?: string;
  key?: string;
  /** A bearer token. */
  token?: string;
}

/** How a command in a container ended. */
export interface ExecResult {
  stdout: string;
  stderr: string;
  exitCode: number;
}

export interface KubeletClient extends AsyncDisposable {
  pods(): Promise<Pod[]>;
  /** What still runs, whether or not anybody wants it. */
  runningPods(): Promise<Pod[]>;
  /** @throws Error with the kubelet's words when it has no such log. */
  logs(pod: Pod, container: string, query?: Readonly<Record<string, string>>): Promise<string>;
  exec(pod: Pod, container: string, command: readonly string[]): Promise<ExecResult>;
}

/** Opens a client; the server's own certificate is not verified, as kubelets sign their own. */
export function openKubelet(access: KubeletAccess): KubeletClient {
  const tls = {
    rejectUnauthorized: false,
    ...(access.certificate === undefined ? {} : { cert: readFileSync(access.certificate) }),
    ...(access.key === undefined ? {} : { key: readFileSync(access.key) }),
  };
  const headers: Record<string, string> =
    access.token === undefined ? {} : { authorization: `Bearer ${access.token}` };
  const agent = new Agent({ connect: tls });
  const get = async (path: string) => {
    const { statusCode, body } = await request(`${access.url}${path}`, { dispatcher: agent, headers });
    const text = await body.text();
    if (statusCode !== 200) throw new Error(`GET ${path}: ${statusCode} ${text.trim()}`);
    return text;
  };
  const place = ({ metadata: { namespace = 'default', name } }: Pod, container: string) =>
    `${namespace}/${name}/${container}`;
  const list = async (path: string) => (JSON.parse(await get(path)) as KubeList<Pod>).items ?? [];
  return {
    pods: () => list('/pods'),
    runningPods: () => list('/runningpods/'),
    logs: (pod, container, query = {}) =>
      get(`/containerLogs/${place(pod, container)}?${new URLSearchParams(query)}`),
    exec(pod, container, command) {
      const query = new URLSearchParams([
        ...command.map((word) => ['command', word]),
        ['output', '1'],
        ['error', '1'],
      ]);
      const url = `${access.url.replace('http', 'ws')}/exec/${place(pod, container)}?${query}`;
      return execOver(new WebSocket(url, ['v4.channel.k8s.io'], { headers, ...tls }));
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

/** The first byte of a message is its channel: 1 is stdout, 2 stderr, 3 the Status at the end. */
function execOver(socket: WebSocket): Promise<ExecResult> {
  const texts = new Map<number, Buffer[]>();
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => {
      socket.terminate();
      reject(new Error('the command did not end within 20 s'));
    }, 20_000);
    socket.on('message', (data: Buffer) => {
      const channel = data[0] ?? 0;
      texts.set(channel, [...(texts.get(channel) ?? []), data.subarray(1)]);
    });
    socket.once('unexpected-response', (_, response) => {
      let words = '';
      response.on('data', (chunk: Buffer) => {
        words += chunk.toString();
      });
      response.once('end', () => {
        clearTimeout(limit);
        reject(new Error(`exec: ${response.statusCode} ${words.trim()}`));
      });
    });
    socket.once('error', reject);
    socket.once('close', () => {
      clearTimeout(limit);
      const text = (channel: number) => Buffer.concat(texts.get(channel) ?? []).toString();
      try {
        resolve({ stdout: text(1), stderr: text(2), exitCode: exitCodeOf(text(3)) });
      } catch (error) {
        reject(error);
      }
    });
  });
}

interface Status {
  status?: string;
  message?: string;
  details?: { causes?: { reason?: string; message?: string }[] };
}

/** The exit code in the Status of remote command v4. @throws Error when the command never ran. */
function exitCodeOf(text: string): number {
  const status = JSON.parse(text === '' ? '{"message":"no status came"}' : text) as Status;
  if (status.status === 'Success') return 0;
  const cause = status.details?.causes?.find(({ reason }) => reason === 'ExitCode');
  if (cause === undefined) throw new Error(`exec: ${status.message}`);
  return Number(cause.message);
}
