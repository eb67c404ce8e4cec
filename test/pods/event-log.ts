/**
 * The events of pods as a kubelet logs them. A kubelet without an API tells of events only there: the original in
 * klog's lines (`"Event occurred" object="default/web-node1" ... reason="Started" message="..."`, from -v=3 on),
 * Skiff's in JSON lines.
 */
import { readFileSync } from 'node:fs';

/** One event. */
export interface PodEvent {
  namespace: string;
  /** The pod's name. */
  name: string;
  reason: string;
  message: string;
}

/** Reads events from lines of a log; other lines are passed over. */
export function eventsOf(text: string): PodEvent[] {
  return text
    .replace(textBlocks, quoted)
    .split('\n')
    .flatMap((line) => eventOf(line) ?? []);
}

/** klog writes a value of more than one line as `key=<`, its lines behind a tab each, and a line ` >`. */
const textBlocks = /=<\n((?:\t.*\n)*) >/g;

/** The same value as klog writes one of a single line. */
function quoted(_: string, lines: string): string {
  return `=${JSON.stringify(lines.replace(/^\t/gm, '').slice(0, -1))}`;
}

/** Reads the events in a log file, anew each time. */
export function logFileEvents(path: string): () => PodEvent[] {
  return () => eventsOf(readFileSync(path, 'utf8'));
}

const escaped: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };

function eventOf(line: string): PodEvent | undefined {
  if (line.startsWith('{')) {
    try {
      const { event, namespace, name, message } = JSON.parse(line) as Record<string, unknown>;
      if (typeof event !== 'string') return undefined;
      return { namespace: String(namespace), name: String(name), reason: event, message: String(message) };
    } catch {
      return undefined; // The last line may still be being written.
    }
  }
  if (!line.includes('"Event occurred"')) return undefined;
  const field = (key: string) => {
    const found = new RegExp(` ${key}="((?:[^"\\\\]|\\\\.)*)"`).exec(line)?.[1];
    return found?.replace(/\\(.)/g, (_, char: string) => escaped[char] ?? char) ?? '';
  };
  const [namespace = '', name = ''] = field('object').split('/');
  return { namespace, name, reason: field('reason'), message: field('message') };
}
