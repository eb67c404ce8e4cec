/** Which credentials a pod may use for an image: its pull secrets, the node's, and what credential providers say. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { namespaceOf, specOf } from '../pods/identity.ts';
import type { EventRecorder, KubeletApi } from '../ports.ts';
import { type Credential, credentialsFor, type Keyring, keyringOfSecret, nodeKeyring } from './keyring.ts';
import type { CredentialProviders } from './providers/providers.ts';

/** Finds credentials. */
export interface PodCredentials {
  /** The credentials that fit, the most specific first; none means an anonymous pull. Never throws. */
  forImage(pod: Pod, image: string): Promise<Credential[]>;
}

export interface PodCredentialsDeps {
  /** Absent without an API server: then only the node's own count. */
  api: Pick<KubeletApi, 'secret'> | undefined;
  events: EventRecorder;
  /** Directories with a docker `config.json`: the kubelet's root, `/root/.docker`. */
  directories: readonly string[];
  /** Programs that know credentials; absent where none are configured. */
  providers?: CredentialProviders;
}

export function createPodCredentials({
  api,
  events,
  directories,
  providers,
}: PodCredentialsDeps): PodCredentials {
  return {
    async forImage(pod, image) {
      const names = (specOf(pod).imagePullSecrets ?? []).flatMap(({ name }) => (name ? [name] : []));
      const keyrings = await Promise.all(names.map((name) => secretKeyring(pod, name)));
      const missing = names.filter((_, index) => keyrings[index] === undefined);
      if (missing.length > 0) {
        const words = 'attempting to pull the image may not succeed.';
        const message = `Unable to retrieve some image pull secrets (${missing.join(', ')}); ${words}`;
        events.pod(pod, 'Warning', 'FailedToRetrieveImagePullSecret', message);
      }
      const found: Keyring = keyrings.flatMap((keyring) => keyring ?? []);
      const provided = (await providers?.keyringFor(pod, image)) ?? [];
      return credentialsFor(image, [...found, ...nodeKeyring(directories), ...provided]);
    },
  };

  async function secretKeyring(pod: Pod, name: string): Promise<Keyring | undefined> {
    try {
      const secret = await api?.secret(namespaceOf(pod), name);
      return secret === undefined ? undefined : keyringOfSecret(secret);
    } catch (error) {
      events.pod(
        pod,
        'Warning',
        'InvalidImagePullSecret',
        `Image pull secret "${name}": ${messageOf(error)}`,
      );
      return undefined;
    }
  }
}
