/**
 * The remote-command protocol of Kubernetes (exec and attach): its versions, channels, and the status that ends
 * a session. Versions: unversioned and v1 send failures as text, v3 adds terminal resizing, v4 sends a Status
 * object with the exit code, v5 (WebSocket only) adds half-close.
 */
import { isSkiffError, messageOf, SkiffError } from '#foundation/base/errors.ts';

/** Versions over SPDY, the best first; '' is the unversioned one. */
export const spdyProtocols = [
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
  '',
] as const;

/** WebSocket subprotocols, the best first; '' for clients that name none. */
export const webSocketProtocols = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
  '',
] as const;

/** Numbers of the channels over WebSocket. */
export const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** Which streams a session has. With a terminal there is no stderr. */
export interface RemoteCommandStreams {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

/** A terminal's size in character cells. */
export interface TerminalSize {
  width: number;
  height: number;
}

/** The part of Kubernetes' meta/v1 Status that ends a session. */
export interface RemoteStatus {
  metadata?: Record<string, never>;
  status: 'Success' | 'Failure';
  reason?: string;
  message?: string;
  details?: { causes?: { reason?: string; message?: string }[] };
  code?: number;
}

/** How a command ended: with an exit code, or not at all. */
export type RemoteResult = { exitCode: number } | { error: unknown };

/** Whether a version sends a Status object rather than text. */
export function hasStatus(protocol: string): boolean {
  return protocol.startsWith('v4.') || protocol.startsWith('v5.');
}

/** Whether a version over SPDY has a resize stream. */
export function hasResize(protocol: string): boolean {
  return hasStatus(protocol) || protocol.startsWith('v3.');
}

/** The Status for a result: exit codes as `NonZeroExitCode` with an `ExitCode` cause, errors as `InternalError`. */
export function statusOf(result: RemoteResult): RemoteStatus {
  if ('error' in result) {
    const reason = isSkiffError(result.error, 'NOT_FOUND') ? 'NotFound' : 'InternalError';
    const code = reason === 'NotFound' ? 404 : 500;
    return { metadata: {}, status: 'Failure', reason, message: messageOf(result.error), code };
  }
  if (result.exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    reason: 'NonZeroExitCode',
    message: `command terminated with exit code ${result.exitCode}`,
    details: { causes: [{ reason: 'ExitCode', message: String(result.exitCode) }] },
  };
}

/** What goes over the error channel for a result: '' if the version says nothing about it. */
export function errorChannelText(result: RemoteResult, protocol: string): string {
  const status = statusOf(result);
  if (hasStatus(protocol)) return JSON.stringify(status);
  return status.status === 'Success' ? '' : (status.message ?? 'failed');
}

/**
 * The result in what came over the error channel.
 *
 * @returns exit code 0 for success and for an empty channel.
 */
export function resultOf(text: string, protocol: string): RemoteResult {
  if (text.trim() === '') return { exitCode: 0 };
  if (!hasStatus(protocol)) return { error: new SkiffError('UNKNOWN', text.trim()) };
  let status: RemoteStatus;
  try {
    status = JSON.parse(text) as RemoteStatus;
  } catch (cause) {
    return { error: new SkiffError('INTERNAL', `Cannot read the command's status: ${text}`, { cause }) };
  }
  if (status.status === 'Success') return { exitCode: 0 };
  if (status.reason === 'NonZeroExitCode') {
    const exitCode = status.details?.causes?.find((each) => each.reason === 'ExitCode')?.message;
    if (exitCode !== undefined && /^-?\d+$/.test(exitCode)) return { exitCode: Number(exitCode) };
  }
  const code = status.code === 404 ? 'NOT_FOUND' : 'UNKNOWN';
  return { error: new SkiffError(code, status.message ?? 'The command failed without saying why') };
}
