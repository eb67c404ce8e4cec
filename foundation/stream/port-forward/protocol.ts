/**
 * The port-forward protocol of Kubernetes. Over SPDY each connection is a pair of streams, `data` and `error`,
 * joined by their `requestID` and `port` headers; over WebSocket each requested port has two channels, which
 * both start with the port as a little-endian 16-bit number; the tunnel carries SPDY in WebSocket messages.
 */
import type { Duplex } from 'node:stream';
import { messageOf } from '#foundation/base/errors.ts';

/** How to serve a session. */
export interface PortForwardOptions {
  /** Connects to a port of the pod. Its error's message goes to the client. */
  dial(port: number): Promise<Duplex>;
  /** The ports that may be asked for over WebSocket channels, which name none; in their order. */
  ports?: readonly number[];
  /** Milliseconds between a connection's first and second stream; 30,000 unless told. */
  streamCreationTimeoutMs?: number;
  /** Milliseconds without a byte after which the session ends; none unless told. */
  idleTimeoutMs?: number;
}

/** The protocol over SPDY streams. */
export const spdyProtocol = 'portforward.k8s.io';
/** The WebSocket subprotocol whose messages are the bytes of a SPDY connection. */
export const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';
/** WebSocket subprotocols with two channels per port. */
export const channelProtocols = ['v4.channel.k8s.io', 'v4.base64.channel.k8s.io', ''] as const;

/** Reads a port number. @returns undefined for anything but 1 to 65535. */
export function parsePort(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/** A port as each WebSocket channel begins with it. */
export function encodePort(port: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(port);
  return bytes;
}

/** What the error stream says when a port cannot be reached. */
export function forwardFailure(port: number, error: unknown): string {
  return `Cannot forward to port ${port}: ${messageOf(error)}`;
}
