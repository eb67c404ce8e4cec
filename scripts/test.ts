/**
 * Runs the tests: `npm test`, or `npm test -- services/kubelet` for those below a folder or in a file.
 * The last line says `N passed, N failed`; the exit status is 1 when a test failed or none ran.
 */
import { globSync, statSync } from 'node:fs';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const places = process.argv.slice(2);
const roots = places.length > 0 ? places : ['foundation', 'contracts', 'services', 'apps', 'test'];
const files = roots.flatMap((place) =>
  statSync(place).isDirectory() ? globSync(`${place}/**/*.test.ts`) : [place],
);

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
events.on('end', () => {
  setImmediate(() => {
    console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
    process.exit(failed > 0 || passed === 0 ? 1 : 0);
  });
});
events.compose(new spec()).pipe(process.stdout, { end: false });
