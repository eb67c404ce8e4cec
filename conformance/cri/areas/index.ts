/** All areas, in the order they are run. */
import type { Rule } from '../rule.ts';
import { badInput } from './bad-input.ts';
import { concurrency } from './concurrency.ts';
import { containers } from './containers.ts';
import { events } from './events.ts';
import { execSync } from './exec-sync.ts';
import { idempotence } from './idempotence.ts';
import { images } from './images.ts';
import { lifecycle } from './lifecycle.ts';
import { logs } from './logs.ts';
import { namespaces } from './namespaces.ts';
import { networking } from './networking.ts';
import { resources } from './resources.ts';
import { runtimeInfo } from './runtime-info.ts';
import { sandboxes } from './sandboxes.ts';
import { security } from './security.ts';
import { stats } from './stats.ts';
import { streaming } from './streaming.ts';
import { userNamespaces } from './user-namespaces.ts';
import { volumes } from './volumes.ts';

/** Every rule of the suite. */
export const areas: readonly Rule[] = [
  ...runtimeInfo,
  ...sandboxes,
  ...idempotence,
  ...containers,
  ...lifecycle,
  ...resources,
  ...logs,
  ...volumes,
  ...namespaces,
  ...userNamespaces,
  ...security,
  ...networking,
  ...execSync,
  ...streaming,
  ...images,
  ...stats,
  ...events,
  ...badInput,
  ...concurrency,
];
