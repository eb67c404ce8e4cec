/** tcpSocket probes: that a connection can be made is the answer. */
import { connect } from 'node:net';
import { connectionError, dialOf } from './dial-error.ts';
import type { Outcome } from './outcome.ts';

/** Connects to `host:port` and closes at once. */
export function probeTcp(
  host: string,
  port: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const finish = (outcome: Outcome) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', cancel);
      // A reset rather than a close: no TIME_WAIT for every probe.
      socket.resetAndDestroy();
      resolve(outcome);
    };
    const cancel = () => {
      clearTimeout(timer);
      socket.destroy();
      reject(signal.reason);
    };
    const timer = setTimeout(
      () => finish({ result: 'failure', output: `${dialOf(host, port)}: i/o timeout` }),
      timeoutMs,
    );
    signal.addEventListener('abort', cancel, { once: true });
    socket.on('connect', () => finish({ result: 'success', output: '' }));
    socket.on('error', (error) => finish({ result: 'failure', output: connectionError(error, host, port) }));
  });
}
