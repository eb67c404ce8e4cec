/** Finds what serves a call: a verb on a resource, a subresource, or a path of its own. */

import type { Tokens } from '../auth/tokens.ts';
import type { Metrics } from '../metrics/serve.ts';
import { bind } from '../pods/binding.ts';
import { evict } from '../pods/evict.ts';
import type { Kubelet } from '../pods/kubelet.ts';
import { podLog } from '../pods/log.ts';
import { proxyNode } from '../pods/node-proxy.ts';
import { proxyPod, proxyService } from '../pods/proxy.ts';
import { streamed } from '../pods/stream.ts';
import { type ReviewDeps, serveReview } from '../reviews/reviews.ts';
import { requestToken } from '../reviews/token-request.ts';
import { throughView } from '../storage/view.ts';
import { create } from '../verbs/create.ts';
import { deleteCollection, deleteOne } from '../verbs/delete.ts';
import type { ApiDeps, Call } from '../verbs/deps.ts';
import { get } from '../verbs/get.ts';
import { createLister } from '../verbs/list.ts';
import { patch } from '../verbs/patch.ts';
import { update } from '../verbs/update.ts';
import { watch } from '../verbs/watch.ts';
import { type ApiRequest, isTrue } from './request.ts';
import { badRequest, methodNotAllowed } from './status.ts';
import { unknownPath } from './unknown.ts';

/** What routes lead to. */
export interface RouteDeps {
  api: ApiDeps;
  kubelet: Kubelet;
  tokens: Tokens;
  reviews: ReviewDeps;
  discovery(request: ApiRequest): boolean;
  openapi(request: ApiRequest): Promise<boolean>;
  metrics: Metrics;
}

/** Serves one call that was let in. */
export type Route = (request: ApiRequest) => Promise<void>;

type Handler = (call: Call) => void | Promise<void>;

function everyMethod(handler: Handler): Record<string, Handler> {
  const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
  return Object.fromEntries(methods.map((method) => [method, handler]));
}

/** Makes the routes. */
export function createRoutes(deps: RouteDeps): Route {
  const list = createLister();
  const { api, kubelet, tokens } = deps;
  const actions: Record<string, Record<string, Handler | undefined> | undefined> = {
    'pods/binding': { POST: bind },
    'pods/eviction': { POST: evict },
    'pods/log': { GET: (call) => podLog(call, kubelet) },
    'serviceaccounts/token': { POST: (call) => requestToken(call, tokens) },
    'nodes/proxy': { GET: (call) => proxyNode(call, kubelet) },
    'pods/proxy': everyMethod(proxyPod),
    'services/proxy': everyMethod(proxyService),
  };
  return async (request) => {
    if (deps.discovery(request) || (await deps.openapi(request)) || (await deps.metrics(request))) return;
    if (await serveReview(request, deps.reviews)) return;
    const { group, version, resource, subresource } = request.target;
    const type = api.registry.find(group ?? '', version ?? '', resource ?? '');
    if (type === undefined) throw unknownPath(request);
    const { view } = type.strategy;
    const store = view === undefined ? api.store : throughView(api.store, type.resource, view);
    const call = { request, type, deps: { ...api, store } };
    const handler =
      subresource === undefined
        ? mainHandler(request, list)
        : (actions[`${type.resource}/${subresource}`]?.[request.method] ?? partHandler(call));
    if (handler === undefined) throw methodNotAllowed();
    await handler(call);
  };
}

function mainHandler(request: ApiRequest, list: Handler): Handler | undefined {
  const { method, query, target } = request;
  const named = target.name !== undefined;
  if (method === 'GET' && isTrue(query, 'watch')) return watch;
  const one: Record<string, Handler> = { GET: get, PUT: update, PATCH: patch, DELETE: deleteOne };
  const all: Record<string, Handler> = { GET: list, POST: create, DELETE: deleteCollection };
  return (named ? one : all)[method];
}

function partHandler({ request, type }: Call): Handler | undefined {
  const { subresource = '', rest } = request.target;
  if (type.kind.kind === 'Pod' && streamed.has(subresource)) throw badRequest('Upgrade request required');
  if (type.strategy.parts?.[subresource] === undefined || rest !== undefined) throw unknownPath(request);
  const handlers: Record<string, Handler> = { GET: get, PUT: update, PATCH: patch };
  return handlers[request.method];
}
