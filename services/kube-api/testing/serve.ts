/** Runs an API as a process of its own, for tests that kill it: `node serve.ts DIRECTORY PORT`. */
import { createLogger } from '#foundation/base/log.ts';
import { createKubeApi } from '../index.ts';
import { testApiConfig } from './config.ts';

const [directory = '', port = '0'] = process.argv.slice(2);
const api = createKubeApi({
  ...testApiConfig(directory),
  port: Number(port),
  logger: createLogger('warn'),
});
await api.start();
console.log(api.url);
