/** What `skiff up` shows while pods get ready: progress of pulls, a table of pods, what is wrong with which. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { type LiveBlock, liveBlock } from '../output/live.ts';
import { podRow, podTable } from '../output/pod-table.ts';
import { judgePod } from './verdict.ts';

/** The screen of one `up`. */
export interface UpScreen {
  /** Prints a line for good. */
  print(line: string): void;
  /** Shows the pods as they are now. */
  pods(pods: ReadonlyMap<string, Pod>): void;
  /** Shows the pulls under way, one line each. */
  pulls(lines: readonly string[]): void;
  /** Leaves the last state on the screen. */
  end(): void;
}

/** Makes the screen; on a terminal it is drawn again every second so that ages grow. */
export function upScreen(context: Context): UpScreen {
  const block: LiveBlock = liveBlock({
    out: context.out,
    interactive: context.interactive,
    width: context.width,
    ...(process.stdout.rows > 0 && { height: process.stdout.rows }),
  });
  let pods: Pod[] = [];
  let pulls: readonly string[] = [];
  let over = false;
  const draw = () => block.show(context.interactive ? liveLines(context, pods, pulls) : plainLines(pods));
  const timer = context.interactive ? setInterval(draw, 1000) : undefined;
  timer?.unref();
  return {
    print: (line) => block.print(line),
    pods(next) {
      pods = [...next.values()];
      if (!over) draw();
    },
    pulls(next) {
      pulls = next;
      if (!over) draw();
    },
    end() {
      if (over) return;
      over = true;
      clearInterval(timer);
      draw();
      block.end();
    },
  };
}

function liveLines(context: Context, pods: Pod[], pulls: readonly string[]): string[] {
  if (pods.length === 0) return [...pulls];
  return [...podTable(context.styles, pods.map(podRow)), ...pulls, ...problems(pods).map(context.styles.red)];
}

/** Lines without ages and restarts of the moment, so that only real changes are printed again. */
function plainLines(pods: Pod[]): string[] {
  const rows = pods.map(podRow).map((row) => `pod/${row.name} ${row.ready} ${row.status}`);
  return [...rows, ...problems(pods)];
}

function problems(pods: Pod[]): string[] {
  return pods.flatMap((pod) => {
    const verdict = judgePod(pod);
    const bad = verdict.kind === 'failed' || verdict.kind === 'stuck';
    return bad ? [`pod "${pod.metadata?.name}": ${verdict.reason}`] : [];
  });
}

/** The error for pods that will not get ready; undefined while none is in the way. */
export function problemOf(pods: Iterable<Pod>): SkiffError | undefined {
  const all = problems([...pods]);
  return all.length === 0 ? undefined : new SkiffError('FAILED_PRECONDITION', all.join('\n       '));
}
