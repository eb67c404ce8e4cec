/** The bounds that the client works within unless told otherwise. */
import type { Limits } from './types.ts';

/** Defaults; each says why it is what it is where that is not plain. */
export const defaultLimits: Limits = {
  connectMs: 30_000,
  headersMs: 60_000,
  // A broken transfer is resumed, not lost, so half a minute of silence is enough to try another connection.
  stallMs: 30_000,
  slowMs: 60_000,
  slowBytes: 4096,
  attempts: 5,
  backoffMs: 250,
  maxBackoffMs: 30_000,
  // The distribution spec asks registries to accept 4 MiB; nobody may rely on more.
  maxManifestBytes: 4 * 1024 * 1024,
  // Proxies before registries commonly take 100 MB in one request; broken connections repeat one piece at the most.
  chunkBytes: 16 * 1024 * 1024,
};

/** Bytes of an error, token or upload answer that are read. */
export const maxAnswerBytes = 1024 * 1024;

/** Redirects that are followed for one request. */
export const maxRedirects = 10;
