/** Streams of the guest as streams of Node, held back by credit. */
import { Readable, Writable } from 'node:stream';
import type { SkiffError } from '#foundation/base/errors.ts';
import { garbage, maxDataBytes, streamWindowBytes } from './frames.ts';
import type { Link } from './link.ts';

/** A stream from the guest. */
export interface Output {
  readonly stream: Readable;
  /** Bytes that its consumer took, counted from the stream's birth. */
  taken(): number;
  /** From now on the guest forgets only what is confirmed. */
  confirm(count: number): void;
  /** Nothing more will come: what is here can still be read, then it ends. */
  finish(): void;
}

/**
 * Takes up stream `id` from the guest.
 *
 * What came waits here, bounded by what was allowed, and goes into Node's stream when that asks: only so it is known
 * how far the consumer is.
 *
 * @param from bytes that the consumer has already; the guest continues behind them.
 */
export function openOutput(link: Link, id: number, from: number): Output {
  const waiting: Buffer[] = [];
  let handed = from;
  let received = from;
  let told = from;
  let limit = 0;
  let confirmed: number | undefined;
  let state: 'open' | 'ending' | 'over' = 'open';
  let wanted = false;
  const allow = (force: boolean) => {
    const consumed = confirmed ?? handed;
    if (link.ended !== undefined || state === 'over') return;
    if (!force && consumed - told < streamWindowBytes / 4) return;
    told = consumed;
    limit = Math.max(limit, consumed + streamWindowBytes);
    link.sendCredit(id, consumed, limit);
  };
  const pump = () => {
    while (wanted && waiting.length > 0) {
      const chunk = waiting.shift() as Buffer;
      handed += chunk.length;
      wanted = stream.push(chunk);
    }
    if (state === 'open') allow(false);
    if (state !== 'ending' || waiting.length > 0) return;
    // The guest may forget the last part too.
    if (confirmed === undefined) allow(handed > told);
    state = 'over';
    stream.push(null);
  };
  const end = () => {
    if (state !== 'open') return;
    state = 'ending';
    link.closeStream(id);
    pump();
  };
  const stream = new Readable({
    highWaterMark: maxDataBytes,
    read() {
      wanted = true;
      pump();
    },
    destroy(error, done) {
      // Nobody wants the rest: the writer learns of it as of a closed pipe.
      if (state === 'open') link.sendReset(id);
      state = 'over';
      link.closeStream(id);
      done(error);
    },
  });
  stream.on('error', () => {}); // Whoever reads has a listener of its own; others must not be brought down.
  link.openStream(id, {
    data(bytes) {
      if (received + bytes.length > limit) throw garbage(`more than it was allowed by stream ${id}`);
      received += bytes.length;
      // The reader uses its memory again.
      waiting.push(Buffer.from(bytes));
      pump();
    },
    end,
    broken(why: SkiffError) {
      state = 'over';
      stream.destroy(why);
    },
  });
  allow(true);
  return {
    stream,
    taken: () => handed - stream.readableLength,
    confirm(count) {
      confirmed = Math.min(Math.max(confirmed ?? told, count), handed);
      allow(false);
    },
    finish: end,
  };
}

/** A stream to the guest. */
export interface Input {
  readonly stream: Writable;
  /** Bytes that the guest has, counted from the stream's birth. */
  received(): number;
  /** Nobody takes more. */
  finish(): void;
}

/** What waits for credit. */
interface Pending {
  bytes: Buffer;
  done: (error?: Error | null) => void;
}

/**
 * Takes up stream `id` to the guest.
 *
 * @param from bytes that the guest has already.
 */
export function openInput(link: Link, id: number, from: number, ended: boolean): Input {
  let sent = from;
  let received = from;
  let limit = from;
  let pending: Pending | undefined;
  let over = ended;
  let finished = false;
  const flow = () => {
    while (pending !== undefined && sent < limit) {
      const size = Math.min(pending.bytes.length, limit - sent, maxDataBytes);
      link.sendData(id, pending.bytes.subarray(0, size));
      sent += size;
      pending.bytes = pending.bytes.subarray(size);
      if (pending.bytes.length > 0) continue;
      const { done } = pending;
      pending = undefined;
      done();
    }
  };
  const stop = () => {
    over = true;
    link.closeStream(id);
    // The process may have closed its end long ago: to write to it is no failure of the writer.
    pending?.done();
    pending = undefined;
  };
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (over) return done();
      pending = { bytes: chunk, done };
      flow();
    },
    final(done) {
      if (!over) link.sendEnd(id);
      over = true;
      // The guest goes on to say how much it has.
      finished = true;
      done();
    },
    destroy(error, done) {
      if (!over) link.sendReset(id);
      if (!finished) stop();
      done(error);
    },
  });
  stream.on('error', () => {});
  if (ended) stream.destroy();
  else {
    link.openStream(id, {
      credit(consumed, allowed) {
        if (consumed > sent || allowed < limit) throw garbage(`a credit for what stream ${id} never sent`);
        received = Math.max(received, consumed);
        if (finished && received === sent) link.closeStream(id);
        limit = Math.min(allowed, sent + 16 * streamWindowBytes);
        flow();
      },
      reset() {
        stop();
        stream.destroy();
      },
      broken(why) {
        over = true;
        stream.destroy(why);
      },
    });
    // The guest answers with how much it takes.
    link.sendCredit(id, 0, 0);
  }
  return {
    stream,
    received: () => received,
    finish() {
      stop();
      stream.destroy();
    },
  };
}
