import { after, before, describe, it } from 'node:test';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import { connect } from './contract-suite/client.ts';
import { inNamespace } from './contract-suite/namespace.ts';
import { contractCases } from './contract-suite/suite.ts';
import { startTestApi, type TestApi } from './testing/start.ts';

let api: TestApi;
let server: ReturnType<typeof connect>;
before(async () => {
  api = await startTestApi();
  server = connect(loadKubeconfig(api.adminKubeconfigPath));
});
after(async () => {
  await server.agent.destroy();
  await api.end();
});

describe('the contract of a Kubernetes API', { concurrency: 8 }, () => {
  for (const { name, run } of contractCases) it(name, () => inNamespace(server, run));
});
