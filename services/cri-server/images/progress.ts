/** What is going on: the progress of every pull, for whoever watches. */

/** How far one layer is. */
export interface LayerProgress {
  digest: string;
  state: 'waiting' | 'downloading' | 'unpacking' | 'done' | 'exists';
  /** Bytes downloaded, of `total`. */
  done: number;
  total: number;
}

/** How far a pull is. */
export interface PullProgress {
  /** The normalised reference. */
  reference: string;
  /** The name as it was asked for. */
  name: string;
  state: 'resolving' | 'pulling' | 'done' | 'failed';
  layers: LayerProgress[];
  /** Why it failed. */
  error?: string;
  /** The image's id once it is done. */
  imageId?: string;
}

/** Pulls under way. */
export interface ProgressBoard {
  /** Begins to tell of a pull. @param name as it was asked for; the reference unless told. */
  begin(reference: string, name?: string): PullTracker;
  /** Every pull under way now. */
  current(): PullProgress[];
  /** Calls `listener` after each change, at most some times a second for each pull. @returns how to stop. */
  watch(listener: (progress: PullProgress) => void): () => void;
}

/** Tells of one pull. */
export interface PullTracker {
  readonly progress: PullProgress;
  layers(layers: { digest: string; size: number }[]): void;
  layer(digest: string, change: Partial<LayerProgress>): void;
  end(outcome: { imageId: string } | { error: string }): void;
}

/** Milliseconds between two reports of a pull whose layers change. */
const reportMs = 100;

/** Makes a board. */
export function createProgressBoard(): ProgressBoard {
  const listeners = new Set<(progress: PullProgress) => void>();
  const pulls = new Set<PullProgress>();
  const tell = (progress: PullProgress) => {
    for (const listener of listeners) listener(structuredClone(progress));
  };
  return {
    current: () => [...pulls].map((progress) => structuredClone(progress)),
    watch: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    begin: (reference, name = reference) => {
      const progress: PullProgress = { reference, name, state: 'resolving', layers: [] };
      let told = 0;
      let later: NodeJS.Timeout | undefined;
      const tellNow = () => {
        clearTimeout(later);
        later = undefined;
        told = performance.now();
        tell(progress);
      };
      // An image may have hundreds of layers, and each has several states: what changes together is told together.
      const tellSoon = () => {
        if (listeners.size === 0 || later !== undefined) return;
        const wait = told + reportMs - performance.now();
        if (wait <= 0) tellNow();
        else later = setTimeout(tellNow, wait).unref();
      };
      pulls.add(progress);
      tellNow();
      return {
        progress,
        layers: (layers) => {
          progress.state = 'pulling';
          progress.layers = layers.map(({ digest, size }) => ({
            digest,
            state: 'waiting',
            done: 0,
            total: size,
          }));
          tellNow();
        },
        layer: (digest, change) => {
          // A layer may be in an image twice.
          for (const layer of progress.layers) if (layer.digest === digest) Object.assign(layer, change);
          tellSoon();
        },
        end: (outcome) => {
          pulls.delete(progress);
          Object.assign(progress, outcome);
          progress.state = 'imageId' in outcome ? 'done' : 'failed';
          tellNow();
        },
      };
    },
  };
}
