/** A pull as lines: the image, then each layer with its bar. */
import { type LayerProgress, LayerState, type PullProgress, PullState } from '#contracts/admin/admin_pb.ts';
import { progressBar } from './bar.ts';
import { bytes } from './units.ts';

const pullWords: Record<number, string> = {
  [PullState.RESOLVING]: 'resolving',
  [PullState.PULLING]: 'pulling',
  [PullState.DONE]: 'pulled',
  [PullState.FAILED]: 'failed',
};

/**
 * What to show of a pull on a terminal.
 *
 * @param rows lines to fill at most.
 */
export function pullLines(progress: PullProgress, rows: number): string[] {
  return [headLine(progress), ...layerLines(progress.layers, rows - 1).map((line) => `  ${line}`)];
}

/** What to tell of a pull where lines stay: its state, and each layer when it is there. */
export function pullSteps(progress: PullProgress): string[] {
  return [headLine(progress), ...layerSteps(progress.layers).map((line) => `  ${line}`)];
}

function headLine({ image, state, error }: PullProgress): string {
  return `${image}: ${pullWords[state] ?? 'pulling'}${error === '' ? '' : `: ${error}`}`;
}

/** Layers with their bars; where there are more than `rows`, those that are under way and a count of the others. */
export function layerLines(layers: readonly LayerProgress[], rows: number): string[] {
  if (layers.length <= rows) return layers.map(layerLine);
  const shown = layers.filter(isUnderWay).slice(0, Math.max(0, rows - 1));
  const done = layers.filter(isDone).length;
  const total = layers.reduce((sum, layer) => sum + layer.total, 0n);
  const there = layers.reduce((sum, layer) => sum + (isDone(layer) ? layer.total : layer.done), 0n);
  const summary = `${done} of ${layers.length} layers done  ${progressBar(Number(there), Number(total))}`;
  return [...shown.map(layerLine), summary].slice(0, Math.max(1, rows));
}

/** The layers that are done. */
export function layerSteps(layers: readonly LayerProgress[]): string[] {
  return layers.filter(isDone).map(layerLine);
}

function isUnderWay({ state }: LayerProgress): boolean {
  return state === LayerState.DOWNLOADING || state === LayerState.UNPACKING;
}

function isDone({ state }: LayerProgress): boolean {
  return state === LayerState.EXISTS || state === LayerState.READY;
}

/** A layer with its bar. */
function layerLine(layer: LayerProgress): string {
  return `${layer.digest.replace('sha256:', '').slice(0, 12)}  ${layerText(layer)}`;
}

function layerText({ state, done, total }: LayerProgress): string {
  switch (state) {
    case LayerState.WAITING:
      return 'waiting';
    case LayerState.DOWNLOADING:
      return progressBar(Number(done), Number(total));
    case LayerState.UNPACKING:
      return `unpacking ${bytes(total)}`;
    case LayerState.EXISTS:
      return 'here already';
    default:
      return `done ${bytes(total)}`;
  }
}
