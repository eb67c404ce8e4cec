/** image: the runtime mounts an image's files itself (KEP 4639); the kubelet only passes the reference on. */
import type { VolumePlugin } from './plugin.ts';

/** Makes the image volume plugin. */
export function imagePlugin(): VolumePlugin {
  return {
    name: 'image',
    handles: (volume) => volume.image !== undefined,
    mount: async () => ({ hostPath: '', readOnly: true }),
  };
}
