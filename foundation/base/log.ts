/** Structured logs through pino. Log once, at the edge, with pod and container ids; inner code throws. */
import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';

/** A structured logger; `child` adds fields. */
export type Logger = PinoLogger;

/** How much to log. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** Makes the process's logger: one JSON object a line, to `destination` (standard error by default). */
export function createLogger(level: LogLevel = 'info', destination?: DestinationStream): Logger {
  const options = { level, base: undefined, timestamp: pino.stdTimeFunctions.isoTime };
  return pino(options, destination ?? pino.destination({ dest: 2, sync: true }));
}

/** A logger that says nothing. */
export const silentLogger: Logger = pino({ level: 'silent' });
