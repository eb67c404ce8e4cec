/** POST to a collection, and PUT of kinds that PUT may create. */
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import { alreadyExists } from '../http/status.ts';
import type { Stored } from '../storage/history.ts';
import { readObject } from './decode.ts';
import { type Call, isDryRun } from './deps.ts';
import { prepareCreate } from './prepare.ts';
import { sendObject } from './present.ts';

/** Times a generated name is tried before it is a conflict. */
const nameAttempts = 8;

/** Serves a create. */
export async function create(call: Call): Promise<void> {
  const object = await readObject(call.request, call.type.kind);
  sendObject(call, 201, await createObject(call, object));
}

/** Creates an object. @throws StatusError. */
export async function createObject(call: Call, object: KubeObject): Promise<Stored | KubeObject> {
  const generated = !object.metadata.name && object.metadata.generateName;
  for (let attempt = 1; ; attempt += 1) {
    const next = prepareCreate(call, structuredClone(object));
    const name = { namespace: next.metadata.namespace, name: next.metadata.name };
    const taken = call.deps.store.get(call.type.resource, name) !== undefined;
    if (taken && generated && attempt < nameAttempts) continue;
    if (taken) throw alreadyExists(call.type.kind, next.metadata.name);
    if (isDryRun(call.request)) return next;
    const stored = await call.deps.store.edit(call.type.resource, name, () => ({ put: next }));
    return stored ?? next;
  }
}
