/** A CSI driver in the test's process: its volumes are directories, bind-mounted. */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { Node, NodeServiceCapability_RPC_Type } from '#contracts/csi/csi_pb.ts';
import { Registration } from '#contracts/device-plugin/plugin-registration_pb.ts';
import { createRpcServer } from '#foundation/grpc/server.ts';
import { bindMount, mountsBelow, unmount } from '#foundation/linux/mount.ts';

/** A driver that serves. */
export interface TestCsiDriver extends AsyncDisposable {
  /** What it was asked: `registered true `, `stage DISK`, `publish POD`, `unpublish`, `unstage`. */
  readonly calls: string[];
  /** What the next unpublishing waits for. */
  mayUnpublish: Promise<void>;
}

/** Where it stands. */
export interface TestCsiDriverPlaces {
  name: string;
  /** Its socket and its volumes: `store/HANDLE`. */
  directory: string;
  /** Where kubelets look for plugins; it is made. */
  registry: string;
}

/** Starts the driver and tells the kubelet of it. */
export async function startCsiDriver({
  name,
  directory,
  registry,
}: TestCsiDriverPlaces): Promise<TestCsiDriver> {
  mkdirSync(registry, { recursive: true });
  const server = createRpcServer();
  const driver: TestCsiDriver = {
    calls: [],
    mayUnpublish: Promise.resolve(),
    [Symbol.asyncDispose]: () => server.close(200),
  };
  const note = (call: string) => void driver.calls.push(call);
  server.add(Registration, {
    getInfo: async () => ({
      type: 'CSIPlugin',
      name,
      endpoint: join(directory, 'csi.sock'),
      supportedVersions: ['1.0.0'],
    }),
    notifyRegistrationStatus: async ({ pluginRegistered, error }) => {
      note(`registered ${pluginRegistered} ${error}`);
      return {};
    },
  });
  serveNode(server, driver, (handle) => storeOf(directory, handle), note);
  await server.listen(`unix://${join(directory, 'csi.sock')}`);
  await server.listen(`unix://${join(registry, `${name}-reg.sock`)}`);
  return driver;
}

/** The directory of a volume; it is made. */
function storeOf(directory: string, handle: string): string {
  const path = join(directory, 'store', handle);
  mkdirSync(path, { recursive: true });
  return path;
}

function serveNode(
  server: ReturnType<typeof createRpcServer>,
  driver: TestCsiDriver,
  store: (handle: string) => string,
  note: (call: string) => void,
): void {
  const stages = NodeServiceCapability_RPC_Type.STAGE_UNSTAGE_VOLUME;
  server.add(Node, {
    nodeGetCapabilities: async () => ({
      capabilities: [{ type: { case: 'rpc', value: { type: stages } } }],
    }),
    nodeGetInfo: async () => ({ nodeId: 'node-id', maxVolumesPerNode: 5n }),
    nodeStageVolume: async ({ volumeId, stagingTargetPath, publishContext }) => {
      note(`stage ${publishContext.disk ?? ''}`);
      if (mountsBelow(stagingTargetPath).length === 0) bindMount(store(volumeId), stagingTargetPath);
      return {};
    },
    nodePublishVolume: async ({ volumeId, targetPath, stagingTargetPath, volumeContext }) => {
      note(`publish ${volumeContext['csi.storage.k8s.io/pod.name'] ?? ''}`);
      mkdirSync(targetPath, { recursive: true });
      bindMount(stagingTargetPath || store(volumeId), targetPath);
      return {};
    },
    nodeUnpublishVolume: async ({ targetPath }) => {
      await driver.mayUnpublish;
      note('unpublish');
      unmount(targetPath);
      if (existsSync(targetPath)) rmdirSync(targetPath);
      return {};
    },
    nodeUnstageVolume: async ({ stagingTargetPath }) => {
      note('unstage');
      unmount(stagingTargetPath);
      return {};
    },
  });
}
