/** Assertions of the suite beyond node:assert: on gRPC codes and on what differs between runtimes. */
import assert from 'node:assert/strict';
import { type ErrorCode, isSkiffError, messageOf } from '#foundation/base/errors.ts';

/** Expects a call to fail; with one of these codes, if any are named. @returns the error's message. */
export async function fails(call: Promise<unknown>, ...codes: ErrorCode[]): Promise<string> {
  let answer: unknown;
  try {
    answer = await call;
  } catch (error) {
    assert.ok(isSkiffError(error), `not a gRPC error: ${messageOf(error)}`);
    // A broken connection also shows as an error: it is not a refusal.
    const broken = error.code === 'UNAVAILABLE' && /connect|socket|dropped|ECONN/i.test(error.message);
    assert.ok(!broken, `the server went away: ${error.message}`);
    if (codes.length > 0) {
      assert.ok(
        codes.includes(error.code),
        `expected ${codes.join(' or ')}, got ${error.code}: ${error.message}`,
      );
    }
    assert.ok(error.message.length > 0, 'the error says nothing');
    return error.message;
  }
  assert.fail(
    `the call was to fail, and answered ${JSON.stringify(answer, (_, value) => (typeof value === 'bigint' ? String(value) : value))}`,
  );
}
