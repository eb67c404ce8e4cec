/** Failed connections in the words of the original, which are those of Go: people and tools search logs for them. */
import { messageOf } from '#foundation/base/errors.ts';

/** Node's codes of failures to connect, as Go has them after `dial tcp HOST:PORT: `. */
const dialing: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'connect: connection timed out',
  EADDRNOTAVAIL: 'connect: cannot assign requested address',
  ENOTFOUND: 'lookup: no such host',
  EAI_AGAIN: 'lookup: Temporary failure in name resolution',
};

/** `dial tcp 10.0.0.1:80`; an IPv6 address stands in brackets. */
export function dialOf(host: string, port: number | string): string {
  return `dial tcp ${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`;
}

/** What to say of an error on a connection to `host:port`. */
export function connectionError(error: unknown, host: string, port: number | string): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const words = dialing[code];
  if (words !== undefined) return `${dialOf(host, port)}: ${words}`;
  if (code !== 'ECONNRESET') return messageOf(error);
  // Node's words for an end before any answer.
  return messageOf(error) === 'socket hang up' ? 'EOF' : 'read: connection reset by peer';
}
