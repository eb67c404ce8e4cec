/** grpc probes: the gRPC health checking protocol, in plain text, at the pod's address. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from '#contracts/health/health_pb.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import { durationText } from '../runtime-manager/crash-loop.ts';
import { connectionError } from './dial-error.ts';
import { callUnary, LateError } from './grpc-unary.ts';
import { probeAgent } from './http.ts';
import type { Outcome } from './outcome.ts';

/** Asks `service` (empty for the server as a whole) for its health. Whatever goes wrong is a failure. */
export async function probeGrpc(
  host: string,
  port: number,
  service: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Outcome> {
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const message = toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service }));
  const path = '/grpc.health.v1.Health/Check';
  const call = { host, port, path, authority, userAgent: probeAgent, message };
  try {
    const { status } = fromBinary(HealthCheckResponseSchema, await callUnary(call, { signal, timeoutMs }));
    if (status === HealthCheckResponse_ServingStatus.SERVING)
      return { result: 'success', output: 'service healthy' };
    const said = nameOf(status);
    return { result: 'failure', output: `service unhealthy (responded with "${said}")` };
  } catch (error) {
    signal.throwIfAborted();
    return { result: 'failure', output: describe(error, { host, port, authority, timeoutMs }) };
  }
}

interface Asked {
  host: string;
  port: number;
  authority: string;
  timeoutMs: number;
}

function describe(error: unknown, { host, port, authority, timeoutMs }: Asked): string {
  if (isSkiffError(error, 'UNIMPLEMENTED'))
    return `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${messageOf(error)}`;
  const limit = durationText(timeoutMs);
  if (error instanceof LateError && error.during === 'connecting')
    return `timeout: failed to connect service "${authority}" within ${limit}: context deadline exceeded`;
  // The server may keep to the deadline itself, and say so first.
  if (error instanceof LateError || isSkiffError(error, 'DEADLINE_EXCEEDED'))
    return `timeout: health rpc did not complete within ${limit}`;
  const isDial = error instanceof Error && 'syscall' in error;
  const why = isDial ? connectionError(error, host, port) : messageOf(error);
  return `error: health rpc probe failed: ${why}`;
}

function nameOf(status: number): string {
  const found = Object.entries(HealthCheckResponse_ServingStatus).find(([, number]) => number === status);
  return found?.[0] ?? String(status);
}
