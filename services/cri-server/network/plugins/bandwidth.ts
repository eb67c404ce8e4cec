/** The bandwidth plugin for pods without limits: nothing to do. One with limits is served by the executed plugin. */
import { z } from 'zod';
import { commonKeys, type NativePlugin, previousResult } from './native.ts';

/** Neither `runtimeConfig` nor rates of its own. */
const schema = z.strictObject(commonKeys);

/** The plugin. */
export const bandwidth: NativePlugin = {
  supports: (config) => schema.safeParse(config).success,
  add: async (call) => previousResult(call),
  delete: async () => {},
  check: async () => {},
};
