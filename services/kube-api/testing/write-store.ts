/**
 * Writes into a store until it is killed, and says what was acknowledged: `node write-store.ts FILE PREFIX`. Four
 * writers make objects, change them, and take some away: `+NAME VALUE` and `-NAME` on standard output. Without a prefix
 * it ends at once, which fills Node's compile cache: those who are killed leave none.
 */
import { writeSync } from 'node:fs';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import { openDatabase } from '../storage/database.ts';
import { openStore } from '../storage/store.ts';

const [file = '', prefix = ''] = process.argv.slice(2);
const store = openStore(openDatabase(file));

async function write(writer: number): Promise<void> {
  for (let index = 0; ; index += 1) {
    const name = `${prefix}-${writer}-${index}`;
    const at = { namespace: 'd', name };
    const object = (value: string) =>
      ({ kind: 'ConfigMap', metadata: at, data: { value } }) as unknown as KubeObject;
    for (const value of ['made', 'changed']) {
      await store.edit('configmaps', at, () => ({ put: object(value) }));
      writeSync(1, `+${name} ${value}\n`);
    }
    if (index % 3 !== 0) continue;
    await store.edit('configmaps', at, (current) => ({ remove: current?.object ?? object('') }));
    writeSync(1, `-${name}\n`);
  }
}

if (prefix === '') store.close();
else await Promise.all([0, 1, 2, 3].map(write));
