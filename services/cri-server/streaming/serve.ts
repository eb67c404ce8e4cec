/** Couples one upgraded connection with the runtime. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { AttachRequest, ExecRequest, PortForwardRequest } from '#contracts/cri/runtime_pb.ts';
import { acceptPortForward } from '#foundation/stream/port-forward/server.ts';
import { acceptRemoteCommand } from '#foundation/stream/remote-command/server.ts';
import type { SessionStreams, StreamingRuntime } from '../ports.ts';

/** A request that waits for its client. */
export type StreamRequest =
  | { kind: 'exec'; request: ExecRequest }
  | { kind: 'attach'; request: AttachRequest }
  | { kind: 'portforward'; request: PortForwardRequest };

/** An upgrade request as Node's HTTP server gives it. */
export interface Connection {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
}

/** How long to wait; milliseconds. */
export interface StreamLimits {
  idleTimeoutMs: number;
  streamCreationTimeoutMs: number;
}

/** Serves one session to its end. @throws SkiffError if the client's side of the protocol is bad. */
export async function serveStream(
  stream: StreamRequest,
  { request, socket, head }: Connection,
  runtime: StreamingRuntime,
  limits: StreamLimits,
): Promise<void> {
  if (stream.kind === 'portforward') {
    const { podSandboxId, port } = stream.request;
    const dial = (wanted: number) => runtime.dial(podSandboxId, wanted);
    return acceptPortForward(request, socket, head, { ...limits, ports: port, dial });
  }
  const { stdin, stdout, stderr, tty } = stream.request;
  const streams = { stdin, stdout, stderr, tty };
  const session = await acceptRemoteCommand(request, socket, head, { ...limits, streams });
  try {
    await session.finish({ exitCode: await run(stream, runtime, session) });
  } catch (error) {
    await session.finish({ error });
  }
}

async function run(
  stream: Exclude<StreamRequest, { kind: 'portforward' }>,
  runtime: StreamingRuntime,
  streams: SessionStreams,
): Promise<number> {
  const { containerId, tty } = stream.request;
  if (stream.kind === 'exec') return runtime.exec({ containerId, command: stream.request.cmd, tty }, streams);
  await runtime.attach({ containerId, tty }, streams);
  return 0;
}
