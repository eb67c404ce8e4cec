/**
 * Flow control of what we send. SPDY/3.1 has it; the library that kubectl, the kubelet and containerd use
 * (moby/spdystream) neither grants nor heeds windows and relies on TCP alone. A peer is held to flow control
 * once it shows that it knows it: by SETTINGS with an initial window or any WINDOW_UPDATE.
 */
import { SkiffError } from '#foundation/base/errors.ts';
import { defaultWindow } from './frames.ts';
import type { SpdyStream } from './stream.ts';

/** Bytes of each stream that we take before they are read; announced to the peer. */
export const streamWindow = 256 * 1024;

/** Keeps count of what may be sent in one session. */
export interface SendWindows {
  /** The window that a new stream starts with. */
  readonly initial: number;
  /** The peer announced another initial window: applies to open streams as well. */
  setInitial(bytes: number, open: Iterable<SpdyStream>): void;
  /** WINDOW_UPDATE for a stream, or for the session if `stream` is undefined. */
  update(stream: SpdyStream | undefined, bytes: number): void;
  /** Takes up to `wanted` bytes from both windows, waiting until there is one. */
  take(stream: SpdyStream, wanted: number): Promise<number>;
  /** Wakes everybody who waits: the session is over. */
  close(): void;
}

/** Makes the send windows of a new session. */
export function sendWindows(): SendWindows {
  let heeded = false;
  let initial = defaultWindow;
  let session = defaultWindow;
  let closed = false;
  const waiting = new Set<SpdyStream>();
  const wake = (streams: Iterable<SpdyStream>) => {
    for (const stream of [...streams]) stream.windowOpened?.();
  };
  return {
    get initial() {
      return initial;
    },
    setInitial(bytes, open) {
      heeded = true;
      for (const stream of open) stream.sendWindow += bytes - initial;
      initial = bytes;
      wake(waiting);
    },
    update(stream, bytes) {
      heeded = true;
      if (stream === undefined) session += bytes;
      else stream.sendWindow += bytes;
      wake(waiting);
    },
    async take(stream, wanted) {
      while (heeded && Math.min(session, stream.sendWindow) <= 0) {
        if (closed || stream.destroyed) break;
        await new Promise<void>((resolve) => {
          waiting.add(stream);
          stream.windowOpened = resolve;
        });
        waiting.delete(stream);
        stream.windowOpened = undefined;
      }
      if (closed || stream.destroyed) throw new SkiffError('UNAVAILABLE', `Stream ${stream.id} is closed`);
      // Counted also before the peer shows flow control, so that the windows are right when it does.
      const amount = heeded ? Math.min(wanted, session, stream.sendWindow) : wanted;
      session -= amount;
      stream.sendWindow -= amount;
      return amount;
    },
    close() {
      closed = true;
      wake(waiting);
    },
  };
}
