/** The controllers that the API runs. */
import type { Authority } from '../pki/authority.ts';
import type { ApiDeps } from '../verbs/deps.ts';
import { namespaceContent } from './bootstrap.ts';
import { certificateSigning } from './certificates.ts';
import type { Controller } from './controller.ts';
import { garbageCollection } from './garbage.ts';
import { namespaceDeletion } from './namespaces.ts';
import { eventExpiry, nodeLifecycle } from './nodes.ts';
import { scheduling } from './scheduler.ts';
import { volumeBinding } from './volumes.ts';

/** All of them. */
export function controllersOf(deps: ApiDeps, authority: Authority): Controller[] {
  return [
    scheduling(deps),
    namespaceContent(deps, authority.ca),
    namespaceDeletion(deps),
    garbageCollection(deps),
    volumeBinding(deps),
    nodeLifecycle(deps),
    eventExpiry(deps),
    certificateSigning(deps, authority),
  ];
}
