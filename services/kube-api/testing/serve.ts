/** Runs an API as a process of its own, for tests that kill it: `node serve.ts DIRECTORY PORT`. */
import { createLogger } from '#foundation/base/log.ts';
import { createKubeApi } from '../index.ts';

const [directory = '', port = '0'] = process.argv.slice(2);
const api = createKubeApi({
  directory,
  address: '127.0.0.1',
  port: Number(port),
  nodeName: 'n1',
  kubeletEndpoint: { url: 'https://127.0.0.1:1' },
  logger: createLogger('warn'),
});
await api.start();
console.log(api.url);
