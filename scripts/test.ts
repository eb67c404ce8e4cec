/**
 * Runs the tests: `npm test`, or `npm test -- services/kubelet` for those below a folder or in a file.
 * The last line says `N passed, N failed`; the exit status is 1 when a test failed or none ran.
 */
import { globSync, statSync } from 'node:fs';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const places = process.argv.slice(2);
const roots =
  places.length > 0 ? places : ['foundation', 'contracts', 'services', 'apps', 'conformance', 'test'];
const files = roots.flatMap((place) =>
  statSync(place).isDirectory() ? globSync(`${place}/**/*.test.ts`) : [place],
);

/** Milliseconds without the end of any test after which a file's process is taken for stuck: each test has 300 s. */
const stuckMs = 420_000;
const open = new Set<string>();

let passed = 0;
let failed = 0;
let skipped = 0;
const events = run({ files: files.sort(), concurrency: 2, timeout: 300_000 });
events.on('test:pass', (event) => {
  if (event.details.type === 'suite') return;
  if (event.skip !== undefined && event.skip !== false) skipped += 1;
  else passed += 1;
});
events.on('test:fail', (event) => {
  if (event.details.type !== 'suite') failed += 1;
});
const giveUp = () => {
  console.log(
    `No test has ended for ${stuckMs / 1000} s; what keeps one of these running? ${[...open].join(' ')}`,
  );
  console.log(`${passed} passed, ${failed + 1} failed`);
  process.exit(1);
};
let stuck = setTimeout(giveUp, stuckMs);
events.on(
  'test:enqueue',
  ({ file, nesting }) => void (nesting === 0 && file !== undefined && open.add(file)),
);
events.on('test:summary', ({ file }) => void (file !== undefined && open.delete(file)));
events.on('test:complete', () => {
  clearTimeout(stuck);
  stuck = setTimeout(giveUp, stuckMs);
});
events.on('end', () => {
  clearTimeout(stuck);
  setImmediate(() => {
    console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
    process.exit(failed > 0 || passed === 0 ? 1 : 0);
  });
});
events.compose(new spec()).pipe(process.stdout, { end: false });
