/** The `eviction` subresource: a deletion that an administrator's drain asks for. */

import type { DeleteOptions } from '#contracts/kubernetes/types.ts';
import { readParsed } from '../http/body.ts';
import { sendJson } from '../http/respond.ts';
import { badRequest } from '../http/status.ts';
import { deleteObject } from '../verbs/delete.ts';
import { type Call, isDryRun } from '../verbs/deps.ts';
import { objectName } from '../verbs/update.ts';

/** Serves an eviction. There are no disruption budgets, so nothing delays it. */
export async function evict(call: Call): Promise<void> {
  const { request } = call;
  const body = (await readParsed(request, 'Eviction')) as {
    metadata?: { name?: string };
    deleteOptions?: DeleteOptions;
  } | null;
  const name = objectName(call);
  if (body?.metadata?.name !== undefined && body.metadata.name !== name.name)
    throw badRequest(
      `name in URL does not match name in Eviction object: ${name.name} and ${body.metadata.name}`,
    );
  const options = { ...body?.deleteOptions };
  if (isDryRun(request)) options.dryRun = ['All'];
  await deleteObject(call, name, options);
  sendJson(request, 201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
}
