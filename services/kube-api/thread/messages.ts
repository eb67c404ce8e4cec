/** What a thread that serves the API and the thread that started it tell each other. */
import type { ErrorCode } from '#foundation/base/errors.ts';
import type { LogLevel } from '#foundation/base/log.ts';
import type { KubeApiConfig } from '../index.ts';

/** What the thread is started with: the API's configuration, and how much it shall log. */
export interface ThreadOrder {
  config: Omit<KubeApiConfig, 'logger' | 'clock'>;
  logLevel: LogLevel;
}

/** From the thread. The one message to it, whatever it is, ends it. */
export type ThreadAnswer = { port: number } | { code: ErrorCode; message: string };
