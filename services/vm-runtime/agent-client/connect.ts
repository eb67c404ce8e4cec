/** Connects to a guest's agent: over the unix socket of its virtio-serial port, with a greeting. */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { errnoOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { systemClock, withDeadline } from '#foundation/base/time.ts';
import { agentClient } from './client.ts';
import { decodeHello } from './encode.ts';
import { nonceBytes, paddingBytes } from './frames.ts';
import { type Link, openLink } from './link.ts';
import {
  type AgentClient,
  type AgentHello,
  agentProtocolVersion,
  type ConnectAgentOptions,
} from './types.ts';

const defaultDeadlineMs = 20_000;
/** Milliseconds between looks for a socket that the hypervisor has not made yet. */
const retryMs = 2;

/**
 * Connects and greets. There can be one host at a time: while another is connected this one waits.
 *
 * @throws SkiffError DEADLINE_EXCEEDED for a guest that does not answer, UNAVAILABLE for one that ended,
 *   DATA_LOSS for one that answers garbage, FAILED_PRECONDITION for another protocol.
 */
export async function connectAgent(options: ConnectAgentOptions): Promise<AgentClient> {
  const { socketPath, deadlineMs = defaultDeadlineMs, signal, onLog, fresh = false } = options;
  const what = `Connecting to the guest at ${socketPath}`;
  let link: Link | undefined;
  try {
    return await withDeadline(
      what,
      deadlineMs,
      async (inTime) => {
        const nonce = randomBytes(nonceBytes);
        const socket = await dial(socketPath, inTime);
        link = openLink(socket, nonce, () => {});
        // Half a frame of an earlier host's is filled up; a guest takes 40 ms to read so much under emulation.
        if (!fresh) link.sendRaw(Buffer.alloc(paddingBytes));
        const hello = await greet(link, nonce, deadlineMs, inTime);
        return agentClient({ link, hello, onLog });
      },
      signal,
    );
  } catch (error) {
    const failure = wrapError(error, `Cannot reach the agent at ${socketPath}`);
    link?.close(failure);
    throw failure;
  }
}

async function greet(
  link: Link,
  nonce: Uint8Array,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<AgentHello> {
  const value = { version: agentProtocolVersion, nonce };
  const { result } = await link.call('The greeting', { case: 'hello', value }, deadlineMs + 1000, { signal });
  if (result.case !== 'hello')
    throw new SkiffError('DATA_LOSS', 'The guest answered the greeting with something else');
  const hello = decodeHello(result.value);
  if (hello.version !== agentProtocolVersion)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `The guest speaks version ${hello.version} of the protocol, this Skiff ${agentProtocolVersion}`,
    );
  return hello;
}

async function dial(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await dialOnce(path);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno !== 'ENOENT' && errno !== 'ECONNREFUSED' && errno !== 'EAGAIN') throw error;
      await systemClock.sleep(retryMs, signal);
    }
  }
}

function dialOnce(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
