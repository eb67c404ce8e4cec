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

/** What to show of a pull. */
export function pullLines({ image, state, layers, error }: PullProgress): string[] {
  const head = `${image}: ${pullWords[state] ?? 'pulling'}${error === '' ? '' : `: ${error}`}`;
  return [head, ...layers.map((layer) => `  ${layerLine(layer)}`)];
}

/** A layer with its bar. */
export function layerLine(layer: LayerProgress): string {
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
