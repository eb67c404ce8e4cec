/**
 * Undo stacks: acquire a thing, then at once `undo.defer(...)`; on success `undo.move()`.
 *
 * ```ts
 * await using undo = undoStack();
 * await mount(...);
 * undo.defer('unmount root', () => unmount(...));
 * ...
 * undo.commit();
 * ```
 * Steps run in reverse, go on past a failing one, and get a signal of their own with a deadline, never
 * the caller's aborted one.
 */
import { messageOf } from './errors.ts';

/** Milliseconds that one undo step may take unless told otherwise. */
const defaultUndoDeadlineMs = 30_000;

/** One step that takes something back. It must finish when `signal` aborts. */
export type UndoStep = (signal: AbortSignal) => void | Promise<void>;

/** An undo stack; disposing it without `commit` runs every step in reverse order. */
export interface UndoStack extends AsyncDisposable {
  /** Adds a step; `name` stands in the error if it fails. */
  defer(name: string, step: UndoStep): void;
  /** Forgets all steps: what was acquired is kept. */
  commit(): void;
  /** Forgets all steps here and returns them as a stack that the caller disposes. */
  move(): UndoStack;
}

/**
 * Makes an empty undo stack.
 *
 * @param deadlineMs milliseconds each step may take.
 */
export function undoStack(deadlineMs = defaultUndoDeadlineMs): UndoStack {
  return wrap(new AsyncDisposableStack(), deadlineMs);
}

function wrap(initial: AsyncDisposableStack, deadlineMs: number): UndoStack {
  let stack = initial;
  return {
    defer: (name, step) => stack.defer(() => runStep(name, step, deadlineMs)),
    commit: () => {
      stack.move();
      stack = new AsyncDisposableStack();
    },
    move: () => {
      const moved = stack.move();
      stack = new AsyncDisposableStack();
      return wrap(moved, deadlineMs);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function runStep(name: string, step: UndoStep, deadlineMs: number): Promise<void> {
  const signal = AbortSignal.timeout(deadlineMs);
  const late = Promise.withResolvers<never>();
  const onAbort = () => late.reject(new Error(`not done within ${deadlineMs} ms`));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([step(signal), late.promise]);
  } catch (error) {
    throw new Error(`Cannot undo "${name}": ${messageOf(error)}`, { cause: error });
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
