/**
 * Runs the contract suite against any API server:
 * `node services/kube-api/contract-suite/run.ts --kubeconfig FILE [--only TEXT]`.
 * The last line says how many passed and failed; the exit status is 1 when one failed.
 */
import { parseArgs } from 'node:util';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { connect } from './client.ts';
import { inNamespace } from './namespace.ts';
import { contractCases } from './suite.ts';

const { values } = parseArgs({
  options: { kubeconfig: { type: 'string' }, only: { type: 'string', default: '' } },
});
if (values.kubeconfig === undefined) {
  console.error('give the server with --kubeconfig FILE');
  process.exit(64);
}
const server = connect(loadKubeconfig(values.kubeconfig));
let failed = 0;
const chosen = contractCases.filter(({ name }) => name.includes(values.only));
for (const each of chosen) {
  try {
    await inNamespace(server, each.run);
    console.log(`ok    ${each.name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${each.name}: ${messageOf(error)}`);
  }
}
console.log(`${chosen.length - failed} passed, ${failed} failed`);
await server.agent.close();
process.exitCode = failed === 0 ? 0 : 1;
