/** The images of the cases, served by a registry on loopback: runtimes pull from there without TLS. */
import { startRegistry, type TestRegistry } from '../../conformance/cri/images/registry.ts';
import { testImages } from '../../conformance/cri/images/test-images.ts';

/** Starts the registry. `{{image}}` is `HOST/pods/base:1`; others are `{{registry}}/pods/NAME:1`. */
export async function startImages(): Promise<TestRegistry> {
  const registry = await startRegistry();
  for (const [name, image] of Object.entries(testImages())) {
    for (const tag of ['1', 'latest']) registry.publish(`pods/${name}:${tag}`, image);
    registry.publish(`private/${name}:1`, image);
  }
  return registry;
}
