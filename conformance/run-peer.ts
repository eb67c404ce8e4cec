/** Runs the suite against a runtime that it starts: `node conformance/run-peer.ts containerd|skiff [text of rules]`. */
import { startContainerd } from '../bench/peers/containerd.ts';
import { startSkiff } from '../bench/peers/skiff.ts';
import { startRegistry } from './cri/images/registry.ts';
import { runConformance, textReporter } from './cri/index.ts';

const [, , name = 'skiff', only] = process.argv;
if (name !== 'containerd' && name !== 'skiff')
  throw new Error(`Cannot start "${name}": name containerd or skiff`);
await using registry = await startRegistry();
await using peer = name === 'containerd' ? await startContainerd(registry) : await startSkiff();
const summary = await runConformance({ endpoint: peer.endpoint, only, reporter: textReporter(console.log) });
const { passed, failed, skipped, differs } = summary;
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped, ${differs} differ`);
process.exitCode = failed > 0 ? 1 : 0;
