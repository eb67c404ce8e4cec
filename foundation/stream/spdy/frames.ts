/**
 * The frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00, section 2.2 and 2.6; 3.1 adds flow control of the
 * session as stream 0). Header blocks stay compressed here: see `header-codec.ts`.
 */

/** Control frame types. */
export const frameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

/** Why a stream was reset (section 2.6.3). */
export const resetStatus = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  unsupportedVersion: 4,
  cancel: 5,
  internalError: 6,
  flowControlError: 7,
} as const;

/** Flags of SYN_STREAM, SYN_REPLY, HEADERS and DATA. */
export const flagFin = 1;
/** Flag of SYN_STREAM: the receiver may not send on it. */
export const flagUnidirectional = 2;
/** SETTINGS id of the initial window of each stream, in bytes. */
const settingInitialWindow = 7;
/** Bytes a stream or session may be sent before an update, unless SETTINGS says otherwise. */
export const defaultWindow = 65_536;

/** A control frame as it came: `body` is what follows the 8 bytes of frame head. */
export interface ControlFrame {
  kind: 'control';
  type: number;
  flags: number;
  body: Buffer;
}

/** A piece of a DATA frame; long frames come in several pieces and only the last carries `fin`. */
export interface DataPiece {
  kind: 'data';
  streamId: number;
  fin: boolean;
  bytes: Buffer;
}

/** A control frame's bytes. */
export function controlFrame(type: number, flags: number, body: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(8 + body.length);
  frame.writeUInt16BE(0x8003, 0);
  frame.writeUInt16BE(type, 2);
  frame.writeUInt32BE(body.length, 4);
  frame[4] = flags;
  body.copy(frame, 8);
  return frame;
}

/** The 8 bytes before a DATA frame's payload. */
export function dataHead(streamId: number, length: number, fin: boolean): Buffer {
  const head = Buffer.allocUnsafe(8);
  head.writeUInt32BE(streamId, 0);
  head.writeUInt32BE(length, 4);
  head[4] = fin ? flagFin : 0;
  return head;
}

/** A body of 32-bit numbers, which is what the small control frames are. */
export function words(...numbers: number[]): Buffer {
  const body = Buffer.allocUnsafe(numbers.length * 4);
  numbers.forEach((number, index) => {
    body.writeUInt32BE(number >>> 0, index * 4);
  });
  return body;
}

/** The SETTINGS frame that announces the window of each stream, in bytes. */
export function settingsFrame(initialWindow: number): Buffer {
  return controlFrame(frameType.settings, 0, words(1, settingInitialWindow, initialWindow));
}

/** The initial window that a SETTINGS body announces; undefined if it says nothing of it. */
export function initialWindowOf(body: Buffer): number | undefined {
  if (body.length < 4) return undefined;
  const count = Math.min(body.readUInt32BE(0), Math.floor((body.length - 4) / 8));
  for (let index = 0; index < count; index += 1) {
    const id = body.readUInt32BE(4 + index * 8) & 0xffffff;
    if (id === settingInitialWindow) return body.readUInt32BE(8 + index * 8) & 0x7fffffff;
  }
  return undefined;
}
