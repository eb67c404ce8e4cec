/**
 * Pulls images, all at once, in a process of its own, so that a test can kill it.
 * Usage: pull-process.ts ROOT [--prune] REFERENCE... ; with --prune all images are removed before.
 */
import { silentLogger } from '#foundation/base/log.ts';
import { createImages } from '#services/cri-server/images/index.ts';
import { createRegistryClient } from '#services/cri-server/images/registry/client.ts';
import { openStore } from '#services/cri-server/store/store.ts';

const [root = '', ...words] = process.argv.slice(2);
const store = openStore(`${root}/state.db`);
const groupedStore = openStore(`${root}/state.db`, { grouped: true });
const registry = createRegistryClient();
const directory = `${root}/images`;
const images = createImages({ directory, store, groupedStore, registry, logger: silentLogger });
if (words[0] === '--prune') await images.prune({ all: true });
const references = words.filter((word) => word !== '--prune');
await Promise.all(references.map((reference) => images.pull({ reference })));
await images.close();
await registry.close();
groupedStore.close();
store.close();
