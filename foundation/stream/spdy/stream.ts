/**
 * One stream of a SPDY session, as a Duplex whose halves end separately (allowHalfOpen): `end()` sends FIN,
 * the peer's FIN ends the readable side, `destroy()` before both are over resets the stream.
 */
import { Duplex } from 'node:stream';
import type { SkiffError } from '#foundation/base/errors.ts';
import type { Headers } from './header-codec.ts';
import { streamWindow } from './window.ts';

/** What a stream needs of its session. */
export interface StreamPort {
  /** Sends data, as far as windows allow; resolves when the next may follow. */
  sendData(stream: SpdyStream, bytes: Buffer, fin: boolean): Promise<void>;
  /** Lets the peer send `bytes` more on this stream. */
  grant(stream: SpdyStream, bytes: number): void;
  /** Accepts the stream: sends SYN_REPLY. */
  reply(stream: SpdyStream, headers: Headers): Promise<void>;
  /** Called once when the stream is destroyed; `whole` if both halves had ended. */
  forget(stream: SpdyStream, whole: boolean): void;
}

/** A stream; made by the session only. */
export class SpdyStream extends Duplex {
  readonly id: number;
  /** The headers it was opened with, names in lower case. */
  readonly headers: Headers;
  /** Bytes that the peer lets us send. Only used with peers that do flow control. */
  sendWindow: number;
  /** Woken when `sendWindow` grows or the stream ends. */
  windowOpened: (() => void) | undefined;
  /** While SYN_REPLY is on its way: data and resets must follow it. */
  replying: Promise<void> | undefined;
  private readonly port: StreamPort;
  private ungranted = 0;
  private roomMade: (() => void) | undefined;
  private remoteEnded = false;
  private localEnded = false;
  private broken: SkiffError | undefined;

  constructor(port: StreamPort, id: number, headers: Headers, sendWindow: number) {
    super({ allowHalfOpen: true, readableHighWaterMark: 64 * 1024, writableHighWaterMark: 64 * 1024 });
    this.port = port;
    this.id = id;
    this.headers = headers;
    this.sendWindow = sendWindow;
    // A stream that nobody listens to must not end the process when its session breaks.
    this.on('error', () => {});
  }

  /** Accepts a stream that the peer opened. */
  reply(headers: Headers = {}): Promise<void> {
    const sent = this.port.reply(this, headers).catch(() => {}); // The session broke; its end is told elsewhere.
    this.replying = sent;
    return sent.then(() => {
      this.replying = undefined;
    });
  }

  /** Takes data from the session. The promise, if there is one, asks the session to read no further until then. */
  receive(bytes: Buffer, fin: boolean): Promise<void> | undefined {
    if (this.destroyed || this.remoteEnded) return undefined;
    if (bytes.length > 0) {
      this.ungranted += bytes.length;
      this.push(bytes);
      this.settle();
    }
    if (fin) {
      this.remoteEnded = true;
      this.push(null);
    }
    if (this.readableLength <= streamWindow) return undefined;
    return new Promise((resolve) => {
      this.roomMade = resolve;
    });
  }

  /**
   * The peer reset the stream, or its session ended: what came before can still be read, then comes the end
   * (an error, if the session broke before the peer had ended the stream); writing fails.
   */
  breakOff(error: SkiffError, how: 'reset' | 'session'): void {
    if (this.destroyed) return;
    this.broken = error;
    this.localEnded = true;
    this.windowOpened?.();
    if (how === 'session' && !this.remoteEnded) {
      this.destroy(error);
      return;
    }
    if (!this.remoteEnded) this.push(null);
    this.remoteEnded = true;
    this.wakeSession();
    if (this.readableEnded) this.destroy();
    else this.once('end', () => this.destroy());
  }

  override _read(): void {
    // Data comes when it comes; what matters is when it goes: see `read`.
  }

  /** Node calls `_read` before it takes data out of the buffer, so room is only known after `read`. */
  override read(size?: number): Buffer | null {
    const taken = super.read(size) as Buffer | null;
    this.settle();
    return taken;
  }

  /** Lets the peer send as much as was read, and the session go on when there is room. */
  private settle(): void {
    const consumed = this.ungranted - this.readableLength;
    if (consumed >= streamWindow / 2 && !this.remoteEnded) {
      this.ungranted -= consumed;
      this.port.grant(this, consumed);
    }
    if (this.readableLength <= this.readableHighWaterMark) this.wakeSession();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    const failed = (error: Error) => {
      // Failing would throw away what is still to be read: then the bytes go nowhere instead.
      if (this.readableLength > 0 || (this.remoteEnded && !this.readableEnded)) done();
      else done(error);
    };
    if (this.broken !== undefined) failed(this.broken);
    else this.port.sendData(this, chunk, false).then(() => done(), failed);
  }

  override _final(done: (error?: Error) => void): void {
    this.localEnded = true;
    // An end that cannot be sent is no loss: the session is over.
    if (this.broken !== undefined) done();
    else
      this.port.sendData(this, Buffer.alloc(0), true).then(
        () => done(),
        () => done(),
      );
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.wakeSession();
    this.windowOpened?.();
    this.port.forget(this, this.localEnded && this.remoteEnded);
    done(error);
  }

  private wakeSession(): void {
    this.roomMade?.();
    this.roomMade = undefined;
  }
}
