/** What the registry client offers to the rest of the image service, and what it is configured with. */
import type { Readable } from 'node:stream';
import type { Descriptor } from '#contracts/oci/image.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { Reference } from '../reference.ts';

/** Credentials as a caller gives them: the fields of the CRI's AuthConfig. Empty fields count as absent. */
export interface AuthRequest {
  username?: string;
  password?: string;
  /** Base64 of `username:password`; NULs around the password are trimmed, as Docker's config has them. */
  auth?: string;
  /** The registry that these are for; without it they are for the image's own registry and its mirrors. */
  serverAddress?: string;
  /** An OAuth2 refresh token. */
  identityToken?: string;
  /** A bearer token to send as it is. */
  registryToken?: string;
}

/** What every call takes. */
export interface CallOptions {
  auth?: AuthRequest;
  /** The Kubernetes namespace that it is for, whose own credentials are tried first. */
  namespace?: string;
  /** Ends the call: CANCELLED, or DEADLINE_EXCEEDED if the reason is a timeout. */
  signal?: AbortSignal;
  /** Told the number of bytes that went over the wire since the last time. */
  onProgress?: (bytes: number) => void;
}

/** How to resolve. */
export interface ResolveOptions extends CallOptions {
  /**
   * Looks for a manifest that is here already. If given, a tag is first asked for with HEAD, which
   * registries do not count as a pull, and the manifest is only transferred if this returns undefined.
   */
  local?: (digest: string) => Promise<Uint8Array | undefined> | Uint8Array | undefined;
}

/** How to read a blob. */
export interface BlobOptions extends CallOptions {
  /** Bytes that the caller has already: the stream starts there. 0 unless told. */
  offset?: number;
}

/** How to push. */
export interface PushOptions extends CallOptions {
  /** Repositories of the same registry that may have the blob already; tried as cross-repository mounts. */
  mountFrom?: readonly string[];
}

/** Opens a blob of this machine: all of it, or from one byte to another, both included. */
export type OpenBlob = (range?: { start: number; end: number }) => Readable;

/** How a blob came to be in the registry. */
export type PushOutcome = 'existing' | 'mounted' | 'pushed';

/**
 * Talks to OCI registries (distribution spec 1.1). Every error is a SkiffError with a message for people:
 * - UNKNOWN with the prefix `RegistryUnavailable: `: nobody answers, or only with 5xx. The kubelet knows the
 *   prefix, so callers must not put anything before it.
 * - NOT_FOUND, UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED (rate limits): as the registry says.
 * - DATA_LOSS: what arrived is not what was asked for (digest, length, JSON).
 * - FAILED_PRECONDITION: the registry or the configuration is wrong (TLS, redirects, token server, hosts.toml).
 * - CANCELLED, DEADLINE_EXCEEDED: by the caller's signal.
 */
export interface RegistryClient {
  /** The manifest or index behind a reference; its digest is verified, its size bounded. */
  resolve(reference: Reference, options?: ResolveOptions): Promise<{ descriptor: Descriptor; bytes: Buffer }>;
  /** A manifest by descriptor: exactly `descriptor.size` bytes with `descriptor.digest`. */
  fetchManifest(reference: Reference, descriptor: Descriptor, options?: CallOptions): Promise<Buffer>;
  /**
   * A blob from `options.offset` to `descriptor.size`, exactly. Broken and stalled transfers are resumed
   * inside. The digest is for the consumer to verify. Destroying the stream ends the transfer.
   */
  openBlob(reference: Reference, descriptor: Descriptor, options?: BlobOptions): Promise<Readable>;
  /** Whether the registry has a blob. */
  hasBlob(reference: Reference, descriptor: Descriptor, options?: CallOptions): Promise<boolean>;
  /** Puts a blob into the registry unless it is there; `open` may be called again to retry, or for a part. */
  pushBlob(
    reference: Reference,
    descriptor: Descriptor,
    open: OpenBlob,
    options?: PushOptions,
  ): Promise<PushOutcome>;
  /** Puts a manifest under the reference's tag, or its digest if it has no tag. */
  pushManifest(
    reference: Reference,
    mediaType: string,
    bytes: Uint8Array,
    options?: CallOptions,
  ): Promise<Descriptor>;
  /** What refers to a manifest: signatures, lists of contents, attestations; only those of one type, if told. */
  listReferrers(
    reference: Reference,
    digest: string,
    options?: CallOptions & { artifactType?: string },
  ): Promise<Descriptor[]>;
  /** Reads the machine's authorities, which the first call would do otherwise. */
  prepare(): Promise<void>;
  /** Ends idle connections; calls under way are let finish. */
  close(): Promise<void>;
}

/** Proxies, as the environment's variables have them. */
export interface ProxySettings {
  /** For http:// registries: `http://user:password@proxy:3128`. */
  httpProxy?: string;
  /** For https:// registries. */
  httpsProxy?: string;
  /** Hosts to reach directly: comma-separated names, `.suffixes`, addresses, CIDR blocks, `*`. */
  noProxy?: string;
}

/** Times and bounds; all have defaults. Milliseconds and bytes. */
export interface Limits {
  /** To connect, where hosts.toml has no dial_timeout. */
  connectMs: number;
  /** From request to response headers. */
  headersMs: number;
  /** Without a byte of a body, while the consumer is reading, until the transfer counts as broken. */
  stallMs: number;
  /** A transfer that brings less than `slowBytes` in `slowMs` counts as stalled too. */
  slowMs: number;
  slowBytes: number;
  /** Attempts of one request at the last host of the list; others get one each. */
  attempts: number;
  /** First pause between attempts; doubles each time. */
  backoffMs: number;
  /** Longest pause between attempts, Retry-After included; a longer Retry-After is reported instead. */
  maxBackoffMs: number;
  /** Bytes of a manifest or index. */
  maxManifestBytes: number;
  /** Bytes of one piece of an upload, where a blob cannot be sent at once. */
  chunkBytes: number;
}

/** What the client is made from. Files are read at every call, so changes count at once. */
export interface RegistryClientDeps {
  /** Directories laid out as containerd's `certs.d`; the first that has the registry's folder wins. */
  certsDirs?: readonly string[];
  /** Docker config files (`config.json`); the first with credentials for a registry wins. */
  dockerConfigs?: readonly string[];
  /** A folder of such files for single Kubernetes namespaces, `<namespace>.json`; they win over `dockerConfigs`. */
  namespaceConfigs?: string;
  proxy?: ProxySettings;
  clock?: Clock;
  limits?: Partial<Limits>;
  /** The User-Agent header; `skiff` unless told. */
  userAgent?: string;
}
