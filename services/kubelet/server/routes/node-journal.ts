/** Logs of the node's services in the systemd journal: journalctl(1) reads them, as people on the node would. */
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { tryCommand } from '#foundation/linux/command.ts';

/** Bytes of one answer; what is longer must be narrowed down. */
const maxAnswer = 64 * 1024 * 1024;

/** What narrows a query down, by its name in the API, with what values it takes and what journalctl(1) calls it. */
const options: Record<string, { valid: (value: string) => boolean; args: (value: string) => string[] }> = {
  boot: { valid: (value) => /^(0|-\d{1,6})$/.test(value), args: (value) => [`--boot=${value}`] },
  pattern: {
    valid: (value) => value.length > 0 && value.length <= 1000 && !value.includes('\0'),
    args: (value) => [`--grep=${value}`, '--case-sensitive=false'],
  },
  sinceTime: { valid: isTime, args: (value) => [`--since=${timeOf(value)}`] },
  untilTime: { valid: isTime, args: (value) => [`--until=${timeOf(value)}`] },
  tailLines: { valid: (value) => /^\d{1,9}$/.test(value), args: (value) => [`--lines=${value}`] },
};

function isTime(value: string): boolean {
  return /^\d{4}-\d\d-\d\dT/.test(value) && !Number.isNaN(Date.parse(value));
}

/** RFC 3339 in systemd's words (systemd.time(7)), to the microsecond that a journal has. */
function timeOf(value: string): string {
  const at = new Date(value).toISOString();
  return `${at.slice(0, 10)} ${at.slice(11, 23)} UTC`;
}

/**
 * The arguments of journalctl that narrow a query down; none where nothing does.
 *
 * @throws SkiffError INVALID_ARGUMENT for a value that is none.
 */
export function narrowingArguments(query: URLSearchParams): string[] {
  return Object.entries(options).flatMap(([name, { valid, args }]) => {
    const value = query.get(name);
    if (value === null) return [];
    if (!valid(value))
      throw new SkiffError(
        'INVALID_ARGUMENT',
        `Cannot answer the log query: ${name} cannot be ${JSON.stringify(value)}`,
      );
    return args(value);
  });
}

/** Reads the journal with a program like journalctl(1). */
export interface Journal {
  /** Whether there is an entry of a service. */
  has(service: string): Promise<boolean>;
  /** @throws SkiffError INTERNAL with what the program said, RESOURCE_EXHAUSTED for too much. */
  read(services: readonly string[], narrowing: readonly string[], signal: AbortSignal): Promise<Buffer>;
}

/** @param program its name or path. */
export function openJournal(program: string): Journal {
  const args = ['--quiet', '--utc', '--no-pager'];
  return {
    async has(service) {
      try {
        const probe = [...args, '--output=cat', '--lines=1', `--unit=${service}`];
        const { exitCode, stdout } = await tryCommand({ file: program, args: probe });
        return exitCode === 0 && stdout.length > 0;
      } catch (error) {
        if (isSkiffError(error, 'NOT_FOUND')) return false; // A node without systemd.
        throw error;
      }
    },
    async read(services, narrowing, signal) {
      const units = services.map((service) => `--unit=${service}`);
      const { exitCode, stdout, stderr } = await tryCommand({
        file: program,
        args: [...args, '--output=short-precise', ...units, ...narrowing],
        signal,
        maxOutputBytes: maxAnswer,
      });
      // It exits with 1 where a pattern matches nothing, and says why where it could not look.
      if (exitCode !== 0 && stderr.trim() !== '')
        throw new SkiffError('INTERNAL', `Cannot read the journal: ${stderr.trim().slice(0, 1000)}`);
      if (stdout.length < maxAnswer) return stdout;
      const why = `the log has more than ${maxAnswer} bytes: narrow it down by sinceTime or tailLines`;
      throw new SkiffError('RESOURCE_EXHAUSTED', why);
    },
  };
}
