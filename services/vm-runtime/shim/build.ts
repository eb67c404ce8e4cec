/** The shim's program. */
import { fileURLToPath } from 'node:url';
import { nativeProgram } from '../native.ts';

/** Beside this file. */
const sourceNames = ['shim.h', 'shim.c', 'streams.c', 'terminal.c'];

/** The path of the shim's program, built if need be. @param cache directory of what is made once. */
export function shimProgram(cache: string): Promise<string> {
  const sources = sourceNames.map((name) => fileURLToPath(new URL(name, import.meta.url)));
  return nativeProgram(cache, { name: 'shim', sources });
}
