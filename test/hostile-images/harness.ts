/** An image store of its own in a temporary directory, beside a registry. */
import { mkdtempSync, rmSync } from 'node:fs';
import { silentLogger } from '#foundation/base/log.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { createImages, type Images, type ImagesDeps } from '#services/cri-server/images/index.ts';
import { createRegistryClient, type RegistryClient } from '#services/cri-server/images/registry/client.ts';
import { openStore, type Store } from '#services/cri-server/store/store.ts';

/** A store to test with. */
export interface TestImages extends AsyncDisposable {
  images: Images;
  /** Where everything of it lies. */
  directory: string;
  store: Store;
  /** The same file as the server has it for what is acknowledged later. */
  grouped: Store;
  registry: RegistryClient;
  /** Closes it and opens it anew in the same place, as a restart does. */
  reopen(): Promise<void>;
}

/** Opens an empty store; disposing it removes everything. */
export async function openTestImages(options: Partial<ImagesDeps> = {}): Promise<TestImages> {
  const root = mkdtempSync('/tmp/skiff-images-');
  const directory = `${root}/images`;
  const open = () => {
    const store = openStore(`${root}/state.db`);
    const grouped = openStore(`${root}/state.db`, { grouped: true });
    const registry = createRegistryClient();
    const deps = { directory, store, groupedStore: grouped, registry, logger: silentLogger };
    return { store, grouped, registry, images: createImages({ ...deps, ...options }) };
  };
  const close = async () => {
    await self.images.close();
    await self.registry.close();
    self.grouped.close();
    self.store.close();
  };
  const self: TestImages = {
    ...open(),
    directory,
    reopen: async () => {
      await close();
      Object.assign(self, open());
    },
    [Symbol.asyncDispose]: async () => {
      await close();
      unmountTree(directory);
      rmSync(root, { recursive: true, force: true });
    },
  };
  return self;
}

/** A temporary directory that goes with its scope. */
export function temporaryDirectory(): { path: string } & Disposable {
  const path = mkdtempSync('/tmp/skiff-it-');
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
