/** Sandboxes on disk: what must be known after a crash to restore or to take away what was made. */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { PodSandboxConfigSchema } from '#contracts/cri/runtime_pb.ts';
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
  return {
    put: (sandbox) => rows.put(sandbox.id, toRow(sandbox)),
    delete: (id) => rows.delete(id),
    all: () => rows.all().map(({ key, value }) => fromRow(key, value)),
  };
}

function toRow({ config, handler, createdAt, state, resources }: Sandbox): SandboxRow {
  const bytes = Buffer.from(toBinary(PodSandboxConfigSchema, config)).toString('base64');
  return { config: bytes, handler, createdAt, phase: state.phase, resources };
}

function fromRow(id: string, { config, handler, createdAt, phase, resources }: SandboxRow): Sandbox {
  const decoded = fromBinary(PodSandboxConfigSchema, Buffer.from(config, 'base64'));
  return { id, config: decoded, handler, createdAt, state: { phase }, resources };
}
