/** Reviews: who is this token, and may somebody do something? They answer and store nothing. */
import { shapeAs } from '#contracts/kubernetes/decode/shape.ts';
import type { SubjectAccessReview, TokenReview } from '#contracts/kubernetes/types.ts';
import type { Attributes } from '../auth/attributes.ts';
import type { Authorizer } from '../auth/authorize.ts';
import type { Tokens } from '../auth/tokens.ts';
import { readParsed } from '../http/body.ts';
import type { ApiRequest, User } from '../http/request.ts';
import { sendJson } from '../http/respond.ts';
import { badRequest, methodNotAllowed } from '../http/status.ts';

/** What reviews ask. */
export interface ReviewDeps {
  authorizer: Authorizer;
  tokens: Tokens;
}

type Review = (body: never, request: ApiRequest, deps: ReviewDeps) => object;

const reviews: Record<string, { model: string; review: Review } | undefined> = {
  'tokenreviews.authentication.k8s.io': { model: 'TokenReview', review: reviewToken },
  'selfsubjectreviews.authentication.k8s.io': { model: 'SelfSubjectReview', review: reviewSelf },
  'subjectaccessreviews.authorization.k8s.io': { model: 'SubjectAccessReview', review: reviewAccess },
  'localsubjectaccessreviews.authorization.k8s.io': {
    model: 'LocalSubjectAccessReview',
    review: reviewAccess,
  },
  'selfsubjectaccessreviews.authorization.k8s.io': {
    model: 'SelfSubjectAccessReview',
    review: reviewOwnAccess,
  },
  'selfsubjectrulesreviews.authorization.k8s.io': { model: 'SelfSubjectRulesReview', review: reviewRules },
};

/** Serves a review. @returns false if the path is none. */
export async function serveReview(request: ApiRequest, deps: ReviewDeps): Promise<boolean> {
  const { resource, group, version } = request.target;
  const found = reviews[`${resource}.${group}`];
  if (found === undefined || version !== 'v1') return false;
  if (request.method !== 'POST') throw methodNotAllowed();
  const { value, problems } = shapeAs(found.model, await readParsed(request, found.model));
  const wrong = problems.find((problem) => problem.kind === 'type');
  if (wrong !== undefined) throw badRequest(`${wrong.path.join('.')}: ${wrong.reason}`);
  const body = value as { spec?: object; metadata?: object };
  const status = found.review({ ...body, spec: body.spec ?? {} } as never, request, deps);
  const apiVersion = `${group}/${version}`;
  const metadata = { creationTimestamp: null, ...body.metadata };
  sendJson(request, 201, { kind: found.model, apiVersion, ...body, metadata, status });
  return true;
}

function reviewToken({ spec }: TokenReview, _request: ApiRequest, { tokens }: ReviewDeps): object {
  const audiences = spec.audiences ?? [];
  const found = tokens.authenticate(spec.token ?? '', audiences.length > 0 ? audiences : undefined);
  if (found === undefined) return { authenticated: false, error: 'the token is not valid' };
  return { authenticated: true, user: userInfo(found.user), audiences: found.audiences };
}

function userInfo({ name, uid, groups, extra }: User): object {
  return { username: name, uid, groups, extra };
}

function reviewSelf(_body: unknown, { user }: ApiRequest): object {
  return { userInfo: userInfo(user) };
}

function reviewAccess({ spec }: SubjectAccessReview, _request: ApiRequest, deps: ReviewDeps): object {
  if (!spec.user && (spec.groups ?? []).length === 0)
    throw badRequest('spec.user: Invalid value: "": at least one of user or group must be specified');
  return decide({ name: spec.user ?? '', groups: spec.groups ?? [], uid: spec.uid }, spec, deps);
}

function reviewOwnAccess(
  { spec }: { spec: SubjectAccessReview['spec'] },
  { user }: ApiRequest,
  deps: ReviewDeps,
): object {
  return decide(user, spec, deps);
}

function decide(user: User, spec: SubjectAccessReview['spec'], { authorizer }: ReviewDeps): object {
  const { resourceAttributes: wanted, nonResourceAttributes: path } = spec;
  if ((wanted === undefined) === (path === undefined))
    throw badRequest(
      'spec: Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified',
    );
  const asked: Attributes =
    wanted === undefined
      ? { user, verb: path?.verb ?? '', path: path?.path ?? '' }
      : {
          user,
          verb: wanted.verb ?? '',
          resource: wanted.resource ?? '',
          group: wanted.group ?? '',
          subresource: wanted.subresource || undefined,
          namespace: wanted.namespace || undefined,
          name: wanted.name || undefined,
        };
  const { allowed, reason } = authorizer(asked);
  return { allowed, ...(reason === '' ? {} : { reason }) };
}

/** What a user may do, as rules. Rules that depend on objects are left to the other reviews: incomplete. */
function reviewRules(_body: unknown, { user }: ApiRequest): object {
  const every = (verbs: string[], resources: string[]) => ({ verbs, apiGroups: ['*'], resources });
  const paths = [
    {
      verbs: ['get'],
      nonResourceURLs: [
        '/api',
        '/api/*',
        '/apis',
        '/apis/*',
        '/healthz',
        '/livez',
        '/openapi',
        '/openapi/*',
        '/readyz',
        '/version',
        '/version/',
      ],
    },
  ];
  if (user.groups.includes('system:masters'))
    return {
      resourceRules: [every(['*'], ['*'])],
      nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
      incomplete: false,
    };
  const own = ['selfsubjectaccessreviews', 'selfsubjectrulesreviews', 'selfsubjectreviews'];
  const resourceRules = [
    { verbs: ['create'], apiGroups: ['authorization.k8s.io', 'authentication.k8s.io'], resources: own },
  ];
  return { resourceRules, nonResourceRules: paths, incomplete: true };
}
