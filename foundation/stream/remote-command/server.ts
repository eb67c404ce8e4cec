/**
 * Serves exec and attach: takes an upgrade request in any of Kubernetes' dialects and gives the session's
 * streams. The CRI streaming server uses it, and whoever proxies with translation.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { SkiffError } from '#foundation/base/errors.ts';
import { refuseUpgrade, wantedUpgrade } from '#foundation/stream/http-upgrade.ts';
import {
  errorChannelText,
  type RemoteCommandStreams,
  type RemoteResult,
  type TerminalSize,
} from './protocol.ts';
import { acceptOverSpdy } from './server-spdy.ts';
import { acceptOverWebSocket } from './server-websocket.ts';

/** How to serve a session. */
export interface RemoteCommandOptions {
  /** The streams that were asked for; others that the client opens are refused. */
  streams: RemoteCommandStreams;
  /** Milliseconds the client has to open its streams; 30,000 unless told. */
  streamCreationTimeoutMs?: number;
  /** Milliseconds without a byte after which the session ends; none unless told. */
  idleTimeoutMs?: number;
}

/** A session's streams, as the client asked for them. */
export interface RemoteCommandSession {
  /** The negotiated version: `v4.channel.k8s.io`; '' for the unversioned one. */
  readonly protocol: string;
  /** Ends with the client's half-close. */
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** Terminal sizes as the client sends them; empty without a terminal. */
  readonly resizes: AsyncIterable<TerminalSize>;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
  /** Flushes the outputs, tells the client how it ended, and closes. Never throws: the client may be gone. */
  finish(result: RemoteResult): Promise<void>;
}

/** What a dialect gives. */
export interface DialectSession {
  protocol: string;
  stdin?: Readable;
  stdout?: Writable;
  stderr?: Writable;
  error: Writable;
  resizes: AsyncIterable<TerminalSize>;
  signal: AbortSignal;
  close(): Promise<void>;
  destroy(): void;
}

/** Milliseconds that a client gets to take the last output once the command has ended, while nothing moves. */
const flushStallMs = 30_000;

/**
 * Accepts an upgrade request.
 *
 * @throws SkiffError INVALID_ARGUMENT if it is no upgrade or speaks no known version (the client has been
 *   answered), DEADLINE_EXCEEDED if its streams do not come in time, UNAVAILABLE if it left.
 */
export async function acceptRemoteCommand(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: RemoteCommandOptions,
): Promise<RemoteCommandSession> {
  const wanted = wantedUpgrade(request);
  if (wanted === undefined) {
    const message = 'Cannot stream: the request does not upgrade to SPDY/3.1 or WebSocket';
    refuseUpgrade(socket, 400, message);
    throw new SkiffError('INVALID_ARGUMENT', message);
  }
  const accept = wanted === 'spdy' ? acceptOverSpdy : acceptOverWebSocket;
  const dialect = await accept(request, socket, head, options);
  const { protocol, stdin, stdout, stderr, resizes, signal } = dialect;
  return {
    protocol,
    stdin,
    stdout,
    stderr,
    resizes,
    signal,
    finish: (result) => finish(dialect, result),
  };
}

async function finish(dialect: DialectSession, result: RemoteResult): Promise<void> {
  const { stdin, stdout, stderr, error, protocol, signal } = dialect;
  stdin?.on('error', () => {}).destroy();
  const outputs = [stdout, stderr].filter((each) => each !== undefined);
  await Promise.all(outputs.map((each) => flush(each, signal)));
  const text = errorChannelText(result, protocol);
  if (text !== '' && !signal.aborted) error.write(text);
  await flush(error, signal);
  if (signal.aborted) dialect.destroy();
  else await dialect.close();
}

/** Ends an output and waits until it has been sent, the client is gone, or nothing moves any more. */
async function flush(stream: Writable, signal: AbortSignal): Promise<void> {
  if (!stream.writableEnded && !stream.destroyed) stream.end();
  const stalled = new AbortController();
  let before = stream.writableLength;
  const timer = setInterval(() => {
    if (stream.writableLength === before) stalled.abort();
    before = stream.writableLength;
  }, flushStallMs);
  try {
    await finished(stream, { readable: false, signal: AbortSignal.any([signal, stalled.signal]) });
  } catch {
    // The client left or never reads: its output has nowhere to go.
  } finally {
    clearInterval(timer);
  }
}
