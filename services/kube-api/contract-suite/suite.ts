/**
 * The contract of a Kubernetes API server, as cases that run against any: given a kubeconfig, each makes objects in
 * a namespace of its own and looks at answers over HTTP. `run.ts` is the command, `contract.test.ts` runs it here.
 */
import { applyCases } from './apply.ts';
import type { Case } from './client.ts';
import { crudCases } from './crud.ts';
import { deletionCases } from './deletion.ts';
import { discoveryCases } from './discovery.ts';
import { eventCases } from './events.ts';
import { listCases } from './lists.ts';
import { patchCases } from './patches.ts';
import { podCases } from './pods.ts';
import { selectorCases } from './selectors.ts';
import { validationCases } from './validation.ts';
import { watchCases } from './watches.ts';

/** All cases. */
export const contractCases: readonly Case[] = [
  ...crudCases,
  ...listCases,
  ...selectorCases,
  ...watchCases,
  ...patchCases,
  ...applyCases,
  ...deletionCases,
  ...validationCases,
  ...podCases,
  ...discoveryCases,
  ...eventCases,
];
