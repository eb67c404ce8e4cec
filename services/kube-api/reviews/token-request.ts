/** The `token` subresource of service accounts: TokenRequest. */
import { shapeAs } from '#contracts/kubernetes/decode/shape.ts';
import { formatTime } from '#contracts/kubernetes/meta.ts';
import type { Pod, ServiceAccount, TokenRequest } from '#contracts/kubernetes/types.ts';
import { nodeOf } from '../auth/node-rules.ts';
import { issuer, type Tokens } from '../auth/tokens.ts';
import { readParsed } from '../http/body.ts';
import { sendJson } from '../http/respond.ts';
import { badRequest, conflict, forbidden, notFound } from '../http/status.ts';
import type { Call } from '../verbs/deps.ts';
import { objectName } from '../verbs/update.ts';

const defaultSeconds = 3600;
const minSeconds = 600;
const maxSeconds = 2 ** 32;

/** Serves a token request. */
export async function requestToken(call: Call, tokens: Tokens): Promise<void> {
  const { request, deps, type } = call;
  const name = objectName(call);
  const account = deps.store.get(type.resource, name)?.object as ServiceAccount | undefined;
  if (account === undefined) throw notFound(type.kind, name.name);
  const { value } = shapeAs('TokenRequest', await readParsed(request, 'TokenRequest'));
  const { spec } = (value ?? {}) as Partial<TokenRequest>;
  const seconds = spec?.expirationSeconds ?? defaultSeconds;
  if (seconds < minSeconds || seconds > maxSeconds)
    throw badRequest(
      `TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: ${seconds}: may not specify a duration less than 10 minutes or longer than 2^32 seconds`,
    );
  const audiences = (spec?.audiences ?? []).length > 0 ? (spec?.audiences ?? []) : [issuer];
  const bound = boundObject(call, spec?.boundObjectRef, name.namespace ?? '', name.name);
  const subject = {
    namespace: name.namespace ?? '',
    serviceAccount: { name: name.name, uid: account.metadata.uid },
    ...bound,
  };
  const token = tokens.issue(subject, audiences, seconds);
  sendJson(request, 201, {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name: name.name, namespace: name.namespace, creationTimestamp: formatTime(deps.clock.now()) },
    spec: { ...spec, audiences, expirationSeconds: seconds },
    status: { token, expirationTimestamp: formatTime(deps.clock.now() + seconds * 1000) },
  });
}

type Reference = NonNullable<TokenRequest['spec']>['boundObjectRef'];

function boundObject(call: Call, reference: Reference, namespace: string, account: string) {
  const { deps, request, type } = call;
  const node = nodeOf(request.user);
  if (reference === undefined) {
    if (node !== undefined) throw forbidden(type.kind, account, 'node requested token not bound to a pod');
    return {};
  }
  const name = reference.name ?? '';
  const resources: Record<string, string> = { Pod: 'pods', Secret: 'secrets', Node: 'nodes' };
  const resource = resources[reference.kind ?? ''];
  if (resource === undefined)
    throw badRequest(`cannot bind token for serviceaccount "${account}" to object of type ${reference.kind}`);
  const found = deps.store.get(resource, resource === 'nodes' ? { name } : { namespace, name })?.object;
  const owner = deps.registry.byResource(resource);
  if (found === undefined) throw notFound(owner.kind, name);
  if (reference.uid !== undefined && reference.uid !== found.metadata.uid)
    throw conflict(
      owner.kind,
      name,
      `the UID in the bound object reference (${reference.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  const pod = found as Pod;
  if (resource === 'pods' && (pod.spec.serviceAccountName ?? 'default') !== account)
    throw badRequest(
      `cannot bind token for serviceaccount "${account}" to pod running with different serviceaccount name.`,
    );
  if (node !== undefined && (resource !== 'pods' || pod.spec.nodeName !== node))
    throw forbidden(type.kind, account, `node requested token bound to a pod scheduled on a different node`);
  const named = { name, uid: found.metadata.uid };
  return resource === 'pods' ? { pod: named } : resource === 'secrets' ? { secret: named } : { node: named };
}
