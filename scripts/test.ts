/**
 * Runs the tests: `npm test`, or `npm test -- services/kubelet` for those below a folder or in a file.
 * The last line says `N passed, N failed`; the exit status is 1 when a test failed or none ran.
 *
 * Two files run at a time. When few of them fail in a run of all, these run once more, one after another: what fails
 * with the machine to itself has failed, and what passes then is named before the last line, since it wants mending.
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
/** With more failed files than this the fault is no neighbour's, and nothing runs again. */
const mostRunAgain = 4;
/** As the launcher starts Node: V8 aborts now and then while it replaces the code of a running WebAssembly function. */
const execArgv = ['--no-wasm-tier-up', '--no-wasm-dynamic-tiering'];

/** How many tests of a file ended how. */
interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Runs files and adds up; the reporter's text goes to standard output. Ends the process if a file is stuck. */
async function runFiles(these: readonly string[], concurrency: number): Promise<Map<string, Counts>> {
  const counts = new Map<string, Counts>();
  const of = (file = ''): Counts => {
    const known = counts.get(file) ?? { passed: 0, failed: 0, skipped: 0 };
    counts.set(file, known);
    return known;
  };
  const open = new Set<string>();
  const giveUp = () => {
    console.log(
      `No test has ended for ${stuckMs / 1000} s; what keeps one of these running? ${[...open].join(' ')}`,
    );
    of().failed += 1;
    end(counts);
  };
  let stuck = setTimeout(giveUp, stuckMs);
  const events = run({ files: [...these], concurrency, timeout: 300_000, execArgv });
  events.on('test:pass', (event) => {
    if (event.details.type === 'suite') return;
    if (event.skip !== undefined && event.skip !== false) of(event.file).skipped += 1;
    else of(event.file).passed += 1;
  });
  events.on('test:fail', (event) => {
    // A suite fails with its tests, which count, or by itself: what is done after it found something left behind.
    const { type, error } = event.details;
    if (type !== 'suite' || !('failureType' in error) || error.failureType !== 'subtestsFailed')
      of(event.file).failed += 1;
  });
  events.on(
    'test:enqueue',
    ({ file, nesting }) => void (nesting === 0 && file !== undefined && open.add(file)),
  );
  events.on('test:summary', ({ file }) => void (file !== undefined && open.delete(file)));
  events.on('test:complete', () => {
    clearTimeout(stuck);
    stuck = setTimeout(giveUp, stuckMs);
  });
  const ended = new Promise<void>((resolve) => events.on('end', () => setImmediate(resolve)));
  events.compose(new spec()).pipe(process.stdout, { end: false });
  await ended;
  clearTimeout(stuck);
  return counts;
}

/** Prints the last line and ends the process. */
function end(counts: ReadonlyMap<string, Counts>): never {
  const sum = (of: keyof Counts) => [...counts.values()].reduce((total, one) => total + one[of], 0);
  const [passed, failed, skipped] = [sum('passed'), sum('failed'), sum('skipped')];
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  process.exit(failed > 0 || passed === 0 ? 1 : 0);
}

const counts = await runFiles(files.sort(), 2);
const failing = [...counts].flatMap(([file, { failed }]) => (failed > 0 ? [file] : []));
if (places.length === 0 && failing.length > 0 && failing.length <= mostRunAgain) {
  console.log(`\nOnce more, each with the machine to itself: ${failing.join(' ')}\n`);
  const again = await runFiles(failing, 1);
  for (const file of failing) {
    const result = again.get(file);
    if (result === undefined) continue;
    counts.set(file, result);
    if (result.failed === 0) console.log(`FAILED BESIDE OTHERS, passed alone (to be mended): ${file}`);
  }
}
end(counts);
