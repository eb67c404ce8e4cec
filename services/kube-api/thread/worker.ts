/** The entry of the thread that serves the API: says where it listens, or why it cannot; any message ends it. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, wrapError } from '#foundation/base/errors.ts';
import { createLogger } from '#foundation/base/log.ts';
import { createKubeApi } from '../index.ts';
import type { ThreadAnswer, ThreadOrder } from './messages.ts';

const { config, logLevel } = workerData as ThreadOrder;
const logger = createLogger(logLevel).child({ service: 'kube-api' });
const api = createKubeApi({ ...config, logger });

function tell(answer: ThreadAnswer): void {
  parentPort?.postMessage(answer);
}

async function stop(): Promise<void> {
  try {
    await api.stop();
  } catch (error) {
    logger.error({ error: messageOf(error) }, 'the API did not stop cleanly');
  }
  parentPort?.close();
}

try {
  await api.start();
  parentPort?.once('message', () => void stop());
  tell({ port: Number(new URL(api.url).port) });
} catch (error) {
  const { code, message } = wrapError(error, 'The API cannot start');
  tell({ code, message });
  parentPort?.close();
}
