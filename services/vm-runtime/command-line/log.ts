/** What the command line says when it fails: in the `--log` file as runc does, and on standard error. */
import { appendFileSync } from 'node:fs';

/** Where to say it. */
export interface LogTarget {
  /** A file; standard error alone without. */
  path?: string;
  format: 'text' | 'json';
}

/** Writes one line about a failure. */
export function logError({ path, format }: LogTarget, message: string): void {
  const time = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
  const line =
    format === 'json'
      ? JSON.stringify({ level: 'error', msg: message, time })
      : `time="${time}" level=error msg=${JSON.stringify(message)}`;
  if (path !== undefined) {
    try {
      appendFileSync(path, `${line}\n`);
    } catch {
      // The caller who named a bad file sees standard error.
    }
  }
  process.stderr.write(path === undefined && format === 'json' ? `${line}\n` : `skiff-vm: ${message}\n`);
}
