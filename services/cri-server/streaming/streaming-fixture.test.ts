/** A fake runtime and collectors for the streaming tests. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type Duplex, Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ExecRequestSchema } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { SessionStreams, StreamingRuntime } from '../ports.ts';
import { createStreamingServer, type StreamingServer } from './index.ts';

export const mib = 1024 * 1024;

/** A runtime whose exec runs host processes: the streams are real, the containers are not. */
export function fakeRuntime(t: TestContext) {
  const started: ChildProcess[] = [];
  const seen: { sizes: { width: number; height: number }[]; gone: number } = { sizes: [], gone: 0 };
  t.after(() => {
    for (const child of started) child.kill('SIGKILL');
  });
  const exec = async (request: { command: string[] }, streams: SessionStreams): Promise<number> => {
    const [file = '', ...args] = request.command;
    if (file === 'fail') throw new SkiffError('INTERNAL', 'Cannot exec in container "c": no such program');
    const child = spawn(file, args, { stdio: 'pipe' });
    started.push(child);
    streams.signal.addEventListener('abort', () => {
      seen.gone += 1;
      child.kill('SIGKILL');
    });
    void (async () => {
      for await (const size of streams.resizes) seen.sizes.push(size);
    })();
    child.stdin.on('error', () => {});
    if (streams.stdin) streams.stdin.pipe(child.stdin);
    else child.stdin.end();
    if (streams.stdout) child.stdout.pipe(streams.stdout, { end: false });
    if (streams.stderr) child.stderr.pipe(streams.stderr, { end: false });
    const [code] = (await once(child, 'close')) as [number | null];
    return code ?? 137;
  };
  const runtime: StreamingRuntime = {
    exec,
    attach: async (_request, streams) => {
      await exec({ command: ['cat'] }, streams);
    },
    dial: (_sandbox, port) =>
      new Promise<Duplex>((resolve, reject) => {
        const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
        socket.once('connect', () => resolve(socket));
        socket.once('error', reject);
      }),
  };
  return { runtime, seen, started };
}

export async function startServer(
  t: TestContext,
  runtime: StreamingRuntime,
  extra = {},
): Promise<StreamingServer> {
  const server = createStreamingServer({ runtime, ...extra });
  await server.listen();
  t.after(() => server.close());
  return server;
}

export function execUrl(
  server: StreamingServer,
  cmd: string[],
  more: { tty?: boolean; stdin?: boolean } = {},
): string {
  const { tty = false, stdin = true } = more;
  return server.getExecUrl(
    create(ExecRequestSchema, { containerId: 'c', cmd, tty, stdin, stdout: true, stderr: !tty }),
  );
}

export function collector(): { stream: Writable; text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}
