/**
 * Runs tests on a machine with version 2 cgroups only, whatever this machine has: in a VM whose root is this machine's,
 * read-only beneath memory. `node test/unified/run.ts [tests...]`, as root; the exit status is that of the tests.
 *
 * The kernel is Debian's cloud kernel (`skiff setup vm` downloads it). Everything is emulated in software, so tests take
 * some ten times as long.
 */
import { bootWithOwnRoot } from './vm.ts';

const tests = process.argv.slice(2);
const { status } = await bootWithOwnRoot({
  command: ['node', 'scripts/test.ts', ...(tests.length > 0 ? tests : ['services/cri-server/containers'])],
  onLine: (line) => console.log(line),
});
process.exit(status ?? 1);
