/**
 * Two worker threads that do what would block the event loop: hashing, inflating, unpacking, walking trees.
 * They start with the first job and end after a while without one, so that an idle node pays nothing.
 */
import { Worker } from 'node:worker_threads';
import { type ErrorCode, messageOf, SkiffError } from '#foundation/base/errors.ts';
import { trimHeap } from '#foundation/linux/heap.ts';
import type { Jobs } from './jobs.ts';

/** A job on its way to a worker. */
export interface Order {
  name: keyof Jobs;
  input: unknown;
}
/** What comes back. */
export type Answer =
  | { value: unknown }
  | { failure: { code: ErrorCode; message: string; errno: string | undefined } };

/** What the pool may know of a job. */
export interface JobHints {
  /**
   * Tells whether the job waits for something (a slow download): its thread then does not count, and further jobs get
   * a thread of their own.
   */
  isStarved?: () => boolean;
  /**
   * That it takes milliseconds and waits for nothing. A thread is given one more such job than it works at, so that it
   * need not stand idle until the event loop has heard of the last and sent the next.
   */
  brief?: boolean;
}

/** The worker threads. */
export interface WorkerPool {
  /**
   * Does a job; jobs wait for a free thread in order of arrival.
   *
   * @throws what the job throws.
   */
  run<K extends keyof Jobs>(
    name: K,
    input: Parameters<Jobs[K]>[0],
    hints?: JobHints,
  ): Promise<ReturnType<Jobs[K]>>;
  /** Starts the threads, so that the first job need not wait for that. */
  warm(): void;
  /** Ends the threads; jobs under way fail with CANCELLED. */
  close(): Promise<void>;
}

/** How many threads: more gained nothing on two processors, and one leaves the second idle. */
const defaultThreads = 2;
/** Threads when some of them wait for slow downloads. */
const mostThreads = 8;
/** Milliseconds after which jobs that wait look again whether a thread is starved. */
const starvedMs = 500;
/** Descriptors that come from system calls and not from Node are closed by Node, which would warn of that. */
const workerOptions = {
  execArgv: ['--disable-warning=ExperimentalWarning'],
  trackUnmanagedFds: false,
  // They handle bytes, not objects: a small heap collects early and keeps the node small.
  resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 256 },
};
/** Milliseconds without a job after which the threads end. */
const idleMs = 30_000;

interface Task {
  order: Order;
  resolve(value: unknown): void;
  reject(error: Error): void;
  isStarved(): boolean;
  brief: boolean;
}
interface Thread {
  worker: Worker;
  /** Resolves when it can be ended: a thread that is ended while it loads native code aborts the whole process. */
  loaded: Promise<void>;
  /** What it was given, in the order in which it works at that. */
  tasks: Task[];
}

/**
 * Makes the pool.
 *
 * @param options.file the worker's entry, where it was bundled elsewhere.
 */
export function createWorkerPool(options: { threads?: number; file?: URL } = {}): WorkerPool {
  const file = options.file ?? new URL('./worker.ts', import.meta.url);
  const most = options.threads ?? defaultThreads;
  const threads = new Set<Thread>();
  const queue: Task[] = [];
  let idle: NodeJS.Timeout | undefined;
  let again: NodeJS.Timeout | undefined;
  let closed = false;

  const finish = (thread: Thread, settle: (task: Task) => void) => {
    const task = thread.tasks.shift();
    if (task !== undefined) settle(task);
    dispatch();
  };
  const start = () => {
    const thread = startThread(file, {
      answered: (answer) => finish(thread, (task) => settle(task, answer)),
      gone: (why) => {
        threads.delete(thread);
        for (const task of thread.tasks.splice(0)) task.reject(ended(closed, why));
        dispatch();
      },
    });
    threads.add(thread);
    return thread;
  };
  const working = () => [...threads].filter(({ tasks }) => tasks[0]?.isStarved() !== true).length;
  const assign = (thread: Thread, task: Task) => {
    thread.tasks.push(task);
    thread.worker.ref(); // A job under way keeps the process alive.
    thread.worker.postMessage(task.order);
  };
  const dispatch = () => {
    clearTimeout(idle);
    clearTimeout(again);
    if (closed) return;
    for (const thread of threads) {
      if (thread.tasks.length > 0) continue;
      const task = queue.shift();
      if (task === undefined) thread.worker.unref();
      else assign(thread, task);
    }
    while (queue.length > 0 && working() < most && threads.size < mostThreads) {
      const task = queue.shift();
      if (task !== undefined) assign(start(), task);
    }
    giveAhead(threads, queue, assign);
    if (queue.length > 0) again = setTimeout(dispatch, starvedMs).unref();
    const busy = [...threads].some((thread) => thread.tasks.length > 0);
    if (!busy && threads.size > 0) idle = setTimeout(() => endThreads().then(trimHeap), idleMs).unref();
  };
  const warm = () => {
    if (threads.size >= most || closed) return;
    start();
    dispatch();
    // Starting a thread takes the event loop some milliseconds: one at a time.
    setImmediate(warm);
  };
  const endThreads = () => Promise.all([...threads].map(terminate));
  return {
    run: (name, input, { isStarved = () => false, brief = false } = {}) => {
      if (closed) return Promise.reject(ended(closed, 'The image store is closed'));
      return new Promise<never>((resolve, reject) => {
        queue.push({ order: { name, input }, resolve: resolve as Task['resolve'], reject, isStarved, brief });
        dispatch();
      });
    },
    warm,
    close: async () => {
      closed = true;
      clearTimeout(idle);
      clearTimeout(again);
      for (const task of queue.splice(0)) task.reject(ended(closed, 'The image store was closed'));
      await endThreads();
    },
  };
}

/** Gives threads that work at a brief job the next one too. */
function giveAhead(
  threads: Iterable<Thread>,
  queue: Task[],
  assign: (thread: Thread, task: Task) => void,
): void {
  for (const thread of threads) {
    const [next] = queue;
    if (next?.brief !== true) return;
    if (thread.tasks.length !== 1 || thread.tasks[0]?.brief !== true) continue;
    queue.shift();
    assign(thread, next);
  }
}

interface ThreadEvents {
  answered(answer: Answer): void;
  /** It failed or ended: called at least once then. */
  gone(why: string): void;
}

function startThread(file: URL, { answered, gone }: ThreadEvents): Thread {
  const worker = new Worker(file, workerOptions);
  worker.unref();
  const loaded = new Promise<void>((resolve) => {
    worker.on('message', (message: Answer | 'loaded') =>
      message === 'loaded' ? resolve() : answered(message),
    );
    worker.on('exit', resolve);
  });
  worker.on('error', (error) => gone(`A worker thread of the image store failed: ${messageOf(error)}`));
  worker.on('exit', () => gone('A worker thread of the image store ended'));
  return { worker, loaded, tasks: [] };
}

/** Ends a thread; it is referenced until then, so that the process waits for it. */
async function terminate({ worker, loaded }: Thread): Promise<void> {
  worker.ref();
  await loaded;
  await worker.terminate();
}

function ended(closed: boolean, why: string): SkiffError {
  return new SkiffError(closed ? 'CANCELLED' : 'INTERNAL', why);
}

function settle(task: Task, answer: Answer): void {
  if ('value' in answer) task.resolve(answer.value);
  else {
    const { code, message, errno } = answer.failure;
    task.reject(new SkiffError(code, message, errno === undefined ? {} : { errno }));
  }
}
