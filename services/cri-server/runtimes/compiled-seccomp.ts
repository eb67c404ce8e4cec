/**
 * Compiled seccomp filters: crun compiles a profile at each create and leaves the result in its state directory as
 * `seccomp.bpf`; given back in an annotation it is used as it is, which saves the compiling. A filter is known by
 * the whole profile, so containers with other rules never share one.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { replaceFileSync } from '#foundation/base/files.ts';

const annotation = 'run.oci.seccomp_bpf_data';

/** Filters that are kept: profiles are few, but a client may send any number. */
const limit = 64;

/** The filters compiled so far. */
export interface CompiledSeccomp {
  /** Puts the known filter of a spec's profile into the bundle's config.json. @returns whether there was one. */
  use(spec: RuntimeSpec, bundle: string): boolean;
  /** Keeps the filter that the runtime compiled for a container. */
  learn(spec: RuntimeSpec, stateDirectory: string): void;
}

/** Makes an empty set of filters. */
export function compiledSeccomp(): CompiledSeccomp {
  const filters = new Map<string, string>();
  return {
    use(spec, bundle) {
      const filter = spec.linux.seccomp === undefined ? undefined : filters.get(keyOf(spec));
      if (filter === undefined) return false;
      const annotated: RuntimeSpec = { ...spec, annotations: { ...spec.annotations, [annotation]: filter } };
      replaceFileSync(join(bundle, 'config.json'), JSON.stringify(annotated), { durable: false });
      return true;
    },
    learn(spec, stateDirectory) {
      if (spec.linux.seccomp === undefined || filters.size >= limit) return;
      try {
        filters.set(keyOf(spec), readFileSync(join(stateDirectory, 'seccomp.bpf')).toString('base64'));
      } catch {
        // Another version of crun keeps no filter: each create compiles.
      }
    },
  };
}

function keyOf(spec: RuntimeSpec): string {
  return createHash('sha256').update(JSON.stringify(spec.linux.seccomp)).digest('base64');
}
