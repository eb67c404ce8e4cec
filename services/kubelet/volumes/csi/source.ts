/** What a CSI volume is: one of a persistent volume, or one that a manifest describes inline and that ends with its pod. */
import { createHash } from 'node:crypto';
import type { PersistentVolume, Pod, Secret, Volume } from '#contracts/kubernetes/types.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import type { KubeletApi } from '../../ports.ts';
import { secretData } from '../payload.ts';
import type { ObjectSource, VolumeRequest } from '../plugin.ts';
import type { TokenSource } from '../projected.ts';
import type { Attachments } from './attachments.ts';

/** A volume in the driver's terms. */
export interface CsiSource {
  driver: string;
  handle: string;
  ephemeral: boolean;
  readOnly: boolean;
  fsType: string;
  mountFlags: string[];
  accessModes: string[];
  block: boolean;
  attributes: Record<string, string>;
  stageSecrets: Record<string, string>;
  publishSecrets: Record<string, string>;
  expandSecrets: Record<string, string>;
  /** Where it was attached; undefined for drivers that attach nothing. */
  attachment: { id: string; context: Record<string, string> } | undefined;
  fsGroupPolicy: string;
  /** Whether the driver wants to publish again at every sync (CSIDriver.spec.requiresRepublish). */
  republish: boolean;
}

/** What sources are read from. */
export interface CsiSourceDeps {
  objects: ObjectSource;
  api: Pick<KubeletApi, 'request'> | undefined;
  nodeName: string;
  /** What the cluster attaches here; undefined where nobody keeps node statuses. */
  attachments: Pick<Attachments, 'attached'> | undefined;
  /** Tokens of the pod's service account for drivers that ask for them; undefined without an API server. */
  tokens: TokenSource | undefined;
}

/** What the volume itself says; the rest comes from the driver's object. */
type Described = Omit<CsiSource, 'fsGroupPolicy' | 'republish'>;

interface CsiDriverObject {
  spec?: {
    attachRequired?: boolean;
    podInfoOnMount?: boolean;
    fsGroupPolicy?: string;
    requiresRepublish?: boolean;
    tokenRequests?: { audience?: string; expirationSeconds?: number }[];
    volumeLifecycleModes?: string[];
  };
}

/** A volume of a pod, and whether it is mounted already: then it is attached. */
export interface CsiSourceRequest extends Pick<VolumeRequest, 'pod' | 'volume' | 'persistent' | 'signal'> {
  isMounted: boolean;
}

/** Reads a volume's source. @throws SkiffError if it is not attached yet, or a secret is missing. */
export async function csiSource(deps: CsiSourceDeps, request: CsiSourceRequest): Promise<CsiSource> {
  const { pod, volume, persistent } = request;
  const name = persistent?.spec?.csi?.driver ?? volume.csi?.driver ?? '';
  const driver = await driverObject(deps.api, name);
  const source =
    persistent === undefined
      ? await inline(deps, pod, volume)
      : await bound(deps, request, persistent, driver);
  checkLifecycle(name, driver, source.ephemeral);
  const info = driver?.spec?.podInfoOnMount === true ? podInfo(pod, source.ephemeral) : {};
  const tokens = await podTokens(deps, pod, driver);
  return {
    ...source,
    attributes: { ...source.attributes, ...info, ...tokens },
    republish: driver?.spec?.requiresRepublish === true,
    fsGroupPolicy: driver?.spec?.fsGroupPolicy ?? 'ReadWriteOnceWithFSType',
  };
}

async function driverObject(api: CsiSourceDeps['api'], name: string): Promise<CsiDriverObject | undefined> {
  try {
    return await api?.request<CsiDriverObject>({
      method: 'GET',
      path: `/apis/storage.k8s.io/v1/csidrivers/${name}`,
    });
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

/** A driver must say that it can make volumes that live and end with a pod (inline), or that outlive it. */
function checkLifecycle(name: string, driver: CsiDriverObject | undefined, ephemeral: boolean): void {
  const mode = ephemeral ? 'Ephemeral' : 'Persistent';
  // Without a CSIDriver object, and by default, a driver has persistent volumes only.
  const modes = driver?.spec?.volumeLifecycleModes ?? ['Persistent'];
  if (modes.includes(mode)) return;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `volume mode "${mode}" not supported by driver ${name} (only supports ${modes.join(', ')})`,
  );
}

/** `tokenRequests`: tokens by audience, as one attribute. */
async function podTokens(
  { tokens }: CsiSourceDeps,
  pod: Pod,
  driver: CsiDriverObject | undefined,
): Promise<Record<string, string>> {
  const wanted = driver?.spec?.tokenRequests ?? [];
  if (wanted.length === 0 || tokens === undefined) return {};
  const entries = await Promise.all(
    wanted.map(async ({ audience, expirationSeconds }) => {
      const token = await tokens.token(pod, { audience: audience || undefined, expirationSeconds });
      // The driver must know when to ask again: the token itself says.
      return [audience ?? '', { token, expirationTimestamp: expiryOf(token) }];
    }),
  );
  return { 'csi.storage.k8s.io/serviceAccount.tokens': JSON.stringify(Object.fromEntries(entries)) };
}

/** The expiry that a JSON web token (RFC 7519) states; undefined for what is none. */
function expiryOf(token: string): string | undefined {
  try {
    const payload = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      exp?: number;
    };
    return payload.exp === undefined
      ? undefined
      : `${new Date(payload.exp * 1000).toISOString().slice(0, 19)}Z`;
  } catch {
    return undefined;
  }
}

function podInfo(pod: Pod, ephemeral: boolean): Record<string, string> {
  const { name, namespace = 'default', uid = '' } = pod.metadata;
  return {
    'csi.storage.k8s.io/pod.name': name,
    'csi.storage.k8s.io/pod.namespace': namespace,
    'csi.storage.k8s.io/pod.uid': uid,
    'csi.storage.k8s.io/serviceAccount.name': pod.spec.serviceAccountName ?? '',
    'csi.storage.k8s.io/ephemeral': String(ephemeral),
  };
}

async function inline(deps: CsiSourceDeps, pod: Pod, volume: Volume): Promise<Described> {
  const {
    driver = '',
    readOnly = false,
    fsType = '',
    volumeAttributes = {},
    nodePublishSecretRef,
  } = volume.csi ?? {};
  const { namespace = 'default', uid = '' } = pod.metadata;
  const digest = createHash('sha256').update(`${namespace}${uid}${volume.name}`).digest('hex');
  return {
    driver,
    handle: `csi-${digest}`,
    ephemeral: true,
    readOnly,
    fsType,
    mountFlags: [],
    accessModes: ['ReadWriteOnce'],
    block: false,
    attributes: volumeAttributes,
    stageSecrets: {},
    publishSecrets: await secrets(deps.objects, namespace, nodePublishSecretRef?.name),
    expandSecrets: {},
    attachment: undefined,
  };
}

async function bound(
  deps: CsiSourceDeps,
  request: CsiSourceRequest,
  persistent: PersistentVolume,
  driver: CsiDriverObject | undefined,
): Promise<Described> {
  const { csi, mountOptions = [], accessModes = [], volumeMode } = persistent.spec ?? {};
  if (csi === undefined)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `persistent volume ${persistent.metadata.name} has no CSI source`,
    );
  const secretOf = (reference: { name?: string; namespace?: string } | undefined) =>
    secrets(deps.objects, reference?.namespace ?? 'default', reference?.name);
  return {
    driver: csi.driver,
    handle: csi.volumeHandle,
    ephemeral: false,
    readOnly: csi.readOnly === true,
    fsType: csi.fsType ?? '',
    mountFlags: mountOptions,
    accessModes,
    block: volumeMode === 'Block',
    attributes: csi.volumeAttributes ?? {},
    stageSecrets: await secretOf(csi.nodeStageSecretRef),
    publishSecrets: await secretOf(csi.nodePublishSecretRef),
    expandSecrets: await secretOf(csi.nodeExpandSecretRef),
    attachment:
      driver?.spec?.attachRequired === false
        ? undefined
        : await attachmentOf(deps, request, csi.driver, csi.volumeHandle),
  };
}

/**
 * The attachment that the cluster's controller made for this node. Node authorizers let a node read it only once it is
 * there: so it is asked for when the node's status tells of it.
 */
async function attachmentOf(
  { api, nodeName, attachments }: CsiSourceDeps,
  { pod, signal, isMounted }: CsiSourceRequest,
  driver: string,
  handle: string,
): Promise<CsiSource['attachment']> {
  if (!isMounted) await attachments?.attached({ podUid: pod.metadata.uid ?? '', driver, handle, signal });
  const id = `csi-${createHash('sha256').update(`${handle}${driver}${nodeName}`).digest('hex')}`;
  const found = await api?.request<{
    status?: { attached?: boolean; attachmentMetadata?: Record<string, string> };
  }>({
    method: 'GET',
    path: `/apis/storage.k8s.io/v1/volumeattachments/${id}`,
  });
  if (found?.status?.attached === true) return { id, context: found.status.attachmentMetadata ?? {} };
  throw new SkiffError(
    'UNAVAILABLE',
    `volume ${handle} is not attached to node ${nodeName} yet (VolumeAttachment ${id})`,
  );
}

async function secrets(
  objects: ObjectSource,
  namespace: string,
  name: string | undefined,
): Promise<Record<string, string>> {
  if (name === undefined || name === '') return {};
  const found: Secret | undefined = await objects.secret(namespace, name);
  if (found === undefined)
    throw new SkiffError('NOT_FOUND', `secret "${namespace}/${name}" of a CSI volume not found`);
  return Object.fromEntries([...secretData(found)].map(([key, value]) => [key, value.toString()]));
}
