/**
 * The streams of a container's own process, through conmon's attach socket. What conmon sends are packets whose
 * first byte tells the stream (2: output, 3: errors); what it gets goes to the process's input.
 */
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { connectPackets, type PacketConnection } from '#foundation/linux/seqpacket.ts';
import type { SessionStreams } from '../../ports.ts';
import { attachName } from '../../runtimes/conmon.ts';
import { resizeTerminal } from '../control.ts';
import type { Core } from '../deps.ts';
import { hasProcess } from '../lifecycle.ts';
import { followSizes } from './exec.ts';

const outputPacket = 2;
const errorPacket = 3;

/** Joins a client to a container until that ends or the client leaves. */
export async function attach(
  core: Core,
  { containerId }: { containerId: string; tty: boolean },
  streams: SessionStreams,
): Promise<void> {
  const container = core.table.get(containerId);
  try {
    const { life } = container.record;
    if (!hasProcess(life)) throw new SkiffError('FAILED_PRECONDITION', `it is ${life.phase}, not running`);
    const connection = connectPackets(join(core.monitor.attach, attachName(container.id), 'attach'));
    const leave = () => connection.close();
    streams.signal.addEventListener('abort', leave, { once: true });
    try {
      if (streams.signal.aborted) return;
      if (container.config.tty) void followSizes(streams, (size) => resizeTerminal(core, container.id, size));
      if (streams.stdin !== undefined && container.config.stdin) sendInput(streams, connection);
      await connection.receive((packet) => passOn(packet, streams));
    } finally {
      streams.signal.removeEventListener('abort', leave);
      connection.close();
    }
  } catch (error) {
    throw wrapError(error, `Cannot attach to container "${containerId}"`);
  }
}

/** The half-close of the client ends the process's input if the container has stdin_once: conmon knows. */
function sendInput(streams: SessionStreams, { writable }: PacketConnection): void {
  streams.stdin?.on('error', () => writable.destroy());
  streams.stdin?.pipe(writable);
}

function passOn(packet: Buffer, streams: SessionStreams): void | Promise<void> {
  const bytes = packet.subarray(1);
  const to =
    packet[0] === errorPacket ? streams.stderr : packet[0] === outputPacket ? streams.stdout : undefined;
  if (to === undefined || to.destroyed || bytes.length === 0) return;
  // The frame's memory is used again.
  if (!to.write(Buffer.from(bytes))) return drained(to);
}

function drained(to: Writable): Promise<void> {
  return new Promise((resolve) => {
    to.once('drain', resolve);
    to.once('close', resolve);
  });
}
