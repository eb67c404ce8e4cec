/**
 * The client of exec and attach: over WebSocket or SPDY, whichever the server speaks. `skiff exec` and
 * `skiff attach` use it, and the kubelet's translating proxy.
 */
import type { Readable, Writable } from 'node:stream';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { type TlsClientOptions, UpgradeRefused } from '#foundation/stream/http-upgrade.ts';
import { connectOverSpdy } from './client-spdy.ts';
import { connectOverWebSocket } from './client-websocket.ts';
import { type RemoteResult, resultOf, type TerminalSize } from './protocol.ts';

/** What to connect, and how. */
export interface RemoteCommandRequest {
  /** `auto` tries WebSocket and falls back to SPDY; `auto` unless told. */
  transport?: 'auto' | 'websocket' | 'spdy';
  /** Versions to offer, the preferred first; unless told: v5 and v4 over WebSocket, v4 to v1 over SPDY. */
  protocols?: readonly string[];
  tls?: TlsClientOptions;
  headers?: Record<string, string | string[]>;
  /** Whether the command has a terminal: then there is a resize channel and no stderr. */
  tty: boolean;
  /** Sent to the command; its end closes the command's standard input (not over WebSocket before v5). */
  stdin?: Readable;
  /** Gets the command's output; not ended here. */
  stdout?: Writable;
  stderr?: Writable;
  /** The terminal's sizes as they change. */
  resizes?: AsyncIterable<TerminalSize>;
  /** Ends the session when it aborts. */
  signal?: AbortSignal;
}

/** A session under way. */
export interface RemoteCommandClient {
  /** The version that the server chose. */
  readonly protocol: string;
  /** What came over the error channel when the command ended, as sent. @throws SkiffError UNAVAILABLE if it broke. */
  readonly status: Promise<string>;
  /** The exit code, when the command has ended and all its output was passed on. @throws SkiffError why it failed. */
  readonly exitCode: Promise<number>;
  /** Leaves; the command may go on. */
  close(): Promise<void>;
}

/** What a dialect gives: `status` resolves after the outputs are complete. */
export interface DialectClient {
  protocol: string;
  status: Promise<string>;
  close(): Promise<void>;
  destroy(): void;
}

/**
 * Connects to a streaming URL: of a CRI server, a kubelet or a Kubernetes API.
 *
 * @throws UpgradeRefused (a SkiffError) if the server answers with an HTTP error; SkiffError UNAVAILABLE.
 */
export async function connectRemoteCommand(
  url: string | URL,
  request: RemoteCommandRequest,
): Promise<RemoteCommandClient> {
  const dialect = await connectDialect(new URL(url), request);
  const cancel = () => dialect.destroy();
  request.signal?.addEventListener('abort', cancel, { once: true });
  const status = dialect.status.catch((error: unknown) => {
    if (request.signal?.aborted)
      throw new SkiffError('CANCELLED', 'The session was cancelled', { cause: error });
    throw error;
  });
  const exitCode = status.then((text) => exitCodeOf(resultOf(text, dialect.protocol)));
  // Whoever needs only one of the two must not be told of the other's failure by a crash.
  status.catch(() => {}).finally(() => request.signal?.removeEventListener('abort', cancel));
  exitCode.catch(() => {});
  return { protocol: dialect.protocol, status, exitCode, close: dialect.close };
}

function exitCodeOf(result: RemoteResult): number {
  if ('exitCode' in result) return result.exitCode;
  throw result.error;
}

async function connectDialect(url: URL, request: RemoteCommandRequest): Promise<DialectClient> {
  if (request.transport === 'spdy') return connectOverSpdy(url, request);
  if (request.transport === 'websocket') return connectOverWebSocket(url, request);
  try {
    return await connectOverWebSocket(url, request);
  } catch (error) {
    const speaksNoWebSocket = error instanceof UpgradeRefused && ![401, 404].includes(error.status);
    if (!speaksNoWebSocket || isSkiffError(error, 'CANCELLED')) throw error;
    return connectOverSpdy(url, request);
  }
}
