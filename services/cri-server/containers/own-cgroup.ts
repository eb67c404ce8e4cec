/**
 * The cgroup that containers without a parent are put in. The first of them brings it, by its runtime, and the last one
 * takes it away; not while another is being created, whose runtime has made sure of it and is about to use it.
 */
import { type CgroupLayout, removeEmptyCgroup } from '#foundation/linux/cgroups.ts';
import { ownCgroupParent } from './places.ts';

/** The group of one server. */
export interface OwnCgroup {
  /** Keeps it until disposed of: for a creation. */
  hold(): Disposable;
  /** Removes it if nothing is in it and nobody holds it. */
  removeIfUnused(): void;
}

/** Makes its keeper. */
export function ownCgroup(cgroups: CgroupLayout, tag: string): OwnCgroup {
  let holders = 0;
  return {
    hold: () => {
      holders += 1;
      return {
        [Symbol.dispose]: () => {
          holders -= 1;
        },
      };
    },
    removeIfUnused: () => {
      if (holders === 0) removeEmptyCgroup(cgroups, ownCgroupParent(tag));
    },
  };
}
