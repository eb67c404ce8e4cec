/** Leases: what a pull is about to use, so that garbage collection leaves it alone. */

/** One holder's claims. */
export interface Lease {
  /** Claims a blob, by its digest. */
  blob(digest: string): void;
  /** Claims an unpacked layer, by its chain id. */
  layer(chainId: string): void;
  /** Gives everything up. */
  close(): void;
  /** Gives everything up after a while: what a failed pull brought makes the next attempt shorter. */
  expire(ms: number): void;
}

/** All leases. */
export interface Leases {
  open(): Lease;
  /** Ends the leases that are only waiting to expire. */
  dropExpiring(): void;
  hasBlob(digest: string): boolean;
  hasLayer(chainId: string): boolean;
}

interface Claims {
  blobs: Set<string>;
  layers: Set<string>;
  /** On the clock of `now`; Infinity while held. */
  until: number;
}

/** @param now milliseconds of a clock that never jumps. */
export function createLeases(now: () => number = () => performance.now()): Leases {
  const held = new Set<Claims>();
  const some = (test: (claims: Claims) => boolean): boolean => {
    for (const claims of held) {
      if (claims.until < now()) held.delete(claims);
      else if (test(claims)) return true;
    }
    return false;
  };
  return {
    open: () => {
      const claims: Claims = { blobs: new Set(), layers: new Set(), until: Number.POSITIVE_INFINITY };
      held.add(claims);
      return {
        blob: (digest) => void claims.blobs.add(digest),
        layer: (chainId) => void claims.layers.add(chainId),
        close: () => void held.delete(claims),
        expire: (ms) => {
          claims.until = now() + ms;
        },
      };
    },
    dropExpiring: () => {
      for (const claims of held) if (claims.until !== Number.POSITIVE_INFINITY) held.delete(claims);
    },
    hasBlob: (digest) => some((claims) => claims.blobs.has(digest)),
    hasLayer: (chainId) => some((claims) => claims.layers.has(chainId)),
  };
}
