/** What kubelets in tests are configured with, so that none meets another, or minds the machine. */
import type { KubeletFields } from '../configuration/schema.ts';

/** Any free port of loopback only, and no eviction: how full the machine's disk is must not matter. */
export const quietKubelet = {
  address: '127.0.0.1',
  port: 0,
  healthzPort: 0,
  readOnlyPort: 0,
  evictionHard: {},
} satisfies KubeletFields;
