/**
 * Volumes that the cluster's controller attaches to this node. An order keeps their data whole:
 *
 * ```
 * wanted --> told: status.volumesInUse --> attached: status.volumesAttached --> mounted --> unmounted --> not in use
 * ```
 *
 * What is told to be in use is not detached, also when its pod has been deleted by force; so a volume is mounted only
 * after that was heard, and stays in use until it is unmounted.
 */
import type { Node } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import { attachedVolumes, uniqueName } from './volume-data.ts';

/** How often the node's copy is looked at, which costs no call. */
const lookMs = 100;
/** So long one try waits; the volume manager tries again, and says in an event that it had to. */
const patienceMs = 30_000;

/** A volume, and who asks. */
export interface AttachmentWish {
  podUid: string;
  driver: string;
  handle: string;
  signal: AbortSignal;
}

/** The volumes of this node that are to be attached. */
export interface Attachments {
  /**
   * Says that the node uses the volume; resolves when the API has heard it and says that the volume is attached.
   *
   * @throws SkiffError UNAVAILABLE if it is not so in time. The volume stays in use until its pod is forgotten.
   */
  attached(wish: AttachmentWish): Promise<void>;
  /** Unique names of what pods want or have mounted, for `node.status.volumesInUse`. */
  inUse(): string[];
  /** The pod's volumes are unmounted, or it wants none any more. */
  forget(podUid: string): void;
}

/** What they need. */
export interface AttachmentsDeps {
  kubeletRoot: string;
  /** The watch's copy of the node; undefined as long as there is none. */
  node: () => Node | undefined;
  /** The node as the API has it now: a copy may speak of an attachment that has ended meanwhile. */
  freshNode: () => Promise<Node>;
  /** Called when `inUse` changed, for the node's status to be reported soon. */
  changed: () => void;
  clock: Clock;
}

/** Makes them. After a restart, what is mounted is known from the disk. */
export function createAttachments(deps: AttachmentsDeps): Attachments {
  const wanted = new Map<string, Set<string>>();
  const want = (podUid: string, name: string) => {
    const names = wanted.get(podUid) ?? new Set();
    if (names.has(name)) return;
    wanted.set(podUid, names.add(name));
    deps.changed();
  };
  return {
    async attached({ podUid, driver, handle, signal }) {
      const name = uniqueName(driver, handle);
      want(podUid, name);
      const deadline = deps.clock.monotonic() + patienceMs;
      while (!isAttached(deps.node(), name)) {
        if (deps.clock.monotonic() >= deadline) throw notAttached(name);
        await deps.clock.sleep(lookMs, signal);
      }
      if (!isAttached(await deps.freshNode(), name)) throw notAttached(name);
    },
    inUse: () => [
      ...new Set([
        ...attachedVolumes(deps.kubeletRoot),
        ...[...wanted.values()].flatMap((names) => [...names]),
      ]),
    ],
    forget(podUid) {
      if (wanted.delete(podUid)) deps.changed();
    },
  };
}

function isAttached(node: Node | undefined, name: string): boolean {
  const { volumesInUse = [], volumesAttached = [] } = node?.status ?? {};
  return volumesInUse.includes(name) && volumesAttached.some((each) => each.name === name);
}

function notAttached(name: string): SkiffError {
  return new SkiffError(
    'UNAVAILABLE',
    `volume ${name} is not attached according to the node's status: its CSI driver's controller is to attach it`,
  );
}
