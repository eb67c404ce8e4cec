/** /pods and /runningpods: lists of pods as API objects. */
import type { KubeletView } from '../../ports.ts';
import { sendJson } from '../answers.ts';
import type { Route } from '../router.ts';

/** The routes. */
export function podRoutes(view: Pick<KubeletView, 'pods' | 'runningPods'>): Route[] {
  const list = (pods: () => unknown[]): Route['handle'] => {
    return async ({ response }) => {
      // A pod of its own kind and version, as in any list of the API.
      sendJson(response, { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: pods() });
    };
  };
  return [
    { methods: ['GET'], path: '/pods', handle: list(view.pods) },
    { methods: ['GET'], path: '/runningpods', handle: list(view.runningPods) },
  ];
}
