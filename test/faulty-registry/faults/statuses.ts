/** Faults that are told by a status: trouble in the server, rate limits, refusals. */
import assert from 'node:assert/strict';
import type { FaultCase } from '../case.ts';
import { type Fault, sendJson } from '../server.ts';

/** Answers manifest requests with a status, the first `times` of them. */
function answers(
  status: number,
  options: { times?: number; headers?: Record<string, string>; body?: string } = {},
): () => Fault {
  return () =>
    ({ kind, nth, response }) => {
      if (kind !== 'manifest' || nth > (options.times ?? 1000)) return false;
      response.writeHead(status, options.headers).end(options.body);
      return true;
    };
}

function asked(count: number): FaultCase['after'] {
  return ({ registry }) => {
    const manifests = registry.hits.filter(({ path }) => path.includes('/manifests/'));
    assert.equal(manifests.length, count, `${manifests.length} requests instead of ${count}`);
  };
}

const tooMany = JSON.stringify({
  errors: [{ code: 'TOOMANYREQUESTS', message: 'You have reached your limit' }],
});

export const statusFaults: FaultCase[] = [
  { name: '500 twice, then success', fault: answers(500, { times: 2 }), after: asked(3) },
  {
    name: '503 with Retry-After, then success',
    fault: answers(503, { times: 1, headers: { 'retry-after': '0' } }),
  },
  {
    name: '500 every time',
    fault: answers(500, { body: 'out of disk' }),
    fails: { code: 'UNKNOWN', says: /^RegistryUnavailable: .* answered 500 \(out of disk\)/ },
    after: asked(4),
  },
  {
    name: '502 with a page of HTML',
    fault: answers(502, { body: '<html><h1>Bad Gateway</h1></html>' }),
    fails: { code: 'UNKNOWN', says: /answered 502$/ },
  },
  {
    name: '501 is not tried again',
    fault: answers(501),
    fails: { code: 'UNKNOWN', says: /answered 501/ },
    after: asked(1),
  },
  {
    name: '429 with Retry-After of a second, then success',
    fault: answers(429, { times: 1, headers: { 'retry-after': '1' } }),
    after: asked(2),
  },
  {
    name: '429 with Retry-After as a date, then success',
    fault: answers(429, { times: 1, headers: { 'retry-after': new Date(0).toUTCString() } }),
    after: asked(2),
  },
  {
    name: '429 every time',
    fault: answers(429, { body: tooMany }),
    fails: {
      code: 'RESOURCE_EXHAUSTED',
      says: /the rate limit of 127\.0\.0\.1:\d+ is reached; try again later, or log in .*TOOMANYREQUESTS: You have reached/,
    },
    after: asked(4),
  },
  {
    name: '429 with Retry-After of six hours is told at once',
    fault: answers(429, { headers: { 'retry-after': '21600', 'ratelimit-limit': '100;w=21600' } }),
    fails: { code: 'RESOURCE_EXHAUSTED', says: /\(limit 100;w=21600\); try again after 21600 s/ },
    after: asked(1),
  },
  {
    name: '429 with a Retry-After that is nonsense, then success',
    fault: answers(429, { times: 1, headers: { 'retry-after': 'soon' } }),
  },
  {
    name: '403',
    fault: answers(403, { body: '{"errors":[{"code":"DENIED","message":"requested access is denied"}]}' }),
    fails: { code: 'PERMISSION_DENIED', says: /access denied: .*DENIED: requested access is denied/ },
    after: asked(1),
  },
  {
    name: '404',
    fault: answers(404),
    fails: { code: 'NOT_FOUND', says: /not found: .* answered 404$/ },
    after: asked(1),
  },
  {
    name: '404 with errors that are no list',
    fault: answers(404, { body: '{"errors":{"a":1}}' }),
    fails: { code: 'NOT_FOUND', says: /answered 404 \(\{"errors":\{"a":1\}\}\)$/ },
  },
  { name: '418', fault: answers(418), fails: { code: 'FAILED_PRECONDITION', says: /answered 418/ } },
  { name: '204', fault: answers(204), fails: { code: 'FAILED_PRECONDITION', says: /answered 204/ } },
  {
    name: 'an error body without end',
    fault:
      () =>
      ({ kind, response }) => {
        if (kind !== 'manifest') return false;
        response.writeHead(404).write('x'.repeat(1_000_000));
        return true;
      },
    fails: { code: 'NOT_FOUND', says: /answered 404$/ },
  },
  {
    name: 'an error in the words of Docker Hub',
    fault:
      () =>
      ({ kind, response }) => {
        if (kind !== 'manifest') return false;
        sendJson(response, 403, { detail: 'account suspended' });
        return true;
      },
    fails: { code: 'PERMISSION_DENIED', says: /answered 403 \(account suspended\)/ },
  },
];
