/** grpc probes: the gRPC health checking protocol, in plain text, at the pod's address. */
import { Health, HealthCheckResponse_ServingStatus } from '#contracts/health/health_pb.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import { openChannel } from '#foundation/grpc/client.ts';
import type { Outcome } from './outcome.ts';

/** Asks `service` (empty for the server as a whole) for its health. Whatever goes wrong is a failure. */
export async function probeGrpc(
  host: string,
  port: number,
  service: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Outcome> {
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  using channel = openChannel(address);
  try {
    const { status } = await channel.client(Health).check({ service }, { timeoutMs, signal });
    if (status === HealthCheckResponse_ServingStatus.SERVING)
      return { result: 'success', output: 'service healthy' };
    const said = nameOf(status);
    return { result: 'failure', output: `service unhealthy (responded with "${said}")` };
  } catch (error) {
    signal.throwIfAborted();
    return { result: 'failure', output: describe(error, address, timeoutMs) };
  }
}

function describe(error: unknown, address: string, timeoutMs: number): string {
  if (isSkiffError(error, 'UNIMPLEMENTED'))
    return 'error: this server does not implement the grpc health protocol (grpc.health.v1.Health)';
  if (isSkiffError(error, 'DEADLINE_EXCEEDED'))
    return `timeout: failed to connect service "${address}" within ${timeoutMs}ms`;
  return `error: health rpc probe failed: ${messageOf(error)}`;
}

function nameOf(status: number): string {
  const found = Object.entries(HealthCheckResponse_ServingStatus).find(([, number]) => number === status);
  return found?.[0] ?? String(status);
}
