/** Sandboxes on disk: what must be known after a crash to restore or to take away what was made. */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type PodSandboxConfig, PodSandboxConfigSchema } from '#contracts/cri/runtime_pb.ts';
import type { Records, Store } from '../store/store.ts';
import type { Sandbox, SandboxResources, SandboxState } from './lifecycle.ts';

/** The shape of a row; a change of it needs a new version and an upgrade. */
interface SandboxRow {
  /** The PodSandboxConfig in protobuf's encoding, base64: unknown fields survive. */
  config: string;
  handler: string;
  createdAt: bigint;
  phase: SandboxState['phase'];
  resources: SandboxResources;
}

const version = 1;

/** Reads and writes sandboxes. */
export interface SandboxRecords {
  put(sandbox: Sandbox): void;
  delete(id: string): void;
  all(): Sandbox[];
}

/** The sandboxes of a store. */
export function sandboxRecords(store: Store): SandboxRecords {
  const rows: Records<SandboxRow> = store.records('sandbox', version);
  const encoded = new WeakMap<PodSandboxConfig, string>();
  const encode = (config: PodSandboxConfig): string => {
    const text = encoded.get(config) ?? encodeConfig(config);
    encoded.set(config, text);
    return text;
  };
  return {
    put: (sandbox) => rows.put(sandbox.id, toRow(sandbox, encode(sandbox.config))),
    delete: (id) => rows.delete(id),
    all: () => rows.all().map(({ key, value }) => fromRow(key, value)),
  };
}

/** A sandbox's configuration is replaced, never changed in place, so it is encoded once. */
function encodeConfig(config: PodSandboxConfig): string {
  return Buffer.from(toBinary(PodSandboxConfigSchema, config)).toString('base64');
}

function toRow({ handler, createdAt, state, resources }: Sandbox, config: string): SandboxRow {
  return { config, handler, createdAt, phase: state.phase, resources };
}

function fromRow(id: string, { config, handler, createdAt, phase, resources }: SandboxRow): Sandbox {
  const decoded = fromBinary(PodSandboxConfigSchema, Buffer.from(config, 'base64'));
  return { id, config: decoded, handler, createdAt, state: { phase }, resources };
}
