/**
 * What the API's own signers sign: the rules that keep a request from getting more than it says it is for.
 * https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
 */
import type { CertificateSigningRequest } from '#contracts/kubernetes/types.ts';
import type { RequestedIdentity } from '../pki/authority.ts';

const client = 'kubernetes.io/kube-apiserver-client';
const kubeletClient = 'kubernetes.io/kube-apiserver-client-kubelet';
const kubeletServing = 'kubernetes.io/kubelet-serving';
const nodePrefix = 'system:node:';

interface SignerRule {
  /** Whether certificates are a server's. */
  server: boolean;
  /** Why a request is not for this signer; undefined if it is. */
  refusal(identity: RequestedIdentity): string | undefined;
}

const rules: Readonly<Record<string, SignerRule | undefined>> = {
  [client]: {
    server: false,
    refusal: ({ organizations }) =>
      organizations.includes('system:masters')
        ? 'use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed'
        : undefined,
  },
  [kubeletClient]: {
    server: false,
    refusal: (identity) =>
      notANode(identity) ??
      (identity.names.length > 0 ? 'a client certificate of a node has no names' : undefined),
  },
  [kubeletServing]: {
    server: true,
    refusal: (identity) =>
      notANode(identity) ??
      (identity.names.length === 0 ? 'a serving certificate needs a DNS name or an address' : undefined),
  },
};

function notANode({ commonName, organizations }: RequestedIdentity): string | undefined {
  if (organizations.length !== 1 || organizations[0] !== 'system:nodes')
    return 'subject organization is not system:nodes';
  return commonName.startsWith(nodePrefix)
    ? undefined
    : `subject common name does not begin with ${nodePrefix}`;
}

/** How a signer of ours works; undefined for those of others. */
export function signerRule(name: string): SignerRule | undefined {
  return rules[name];
}

/** Why a request is not signed; undefined if it may be. */
export function signingRefusal(
  { spec }: CertificateSigningRequest,
  identity: RequestedIdentity,
): string | undefined {
  const rule = rules[spec.signerName];
  if (rule === undefined) return `there is no signer ${spec.signerName} here`;
  const needed = rule.server ? 'server auth' : 'client auth';
  const allowed = ['digital signature', 'key encipherment', needed];
  const usages = spec.usages ?? [];
  if (!usages.includes(needed)) return `usages did not contain ${needed}`;
  const other = usages.find((each) => !allowed.includes(each));
  if (other !== undefined) return `usage ${JSON.stringify(other)} is not allowed`;
  return rule.refusal(identity);
}

/**
 * Whether a request is approved without asking anybody: a node that has a certificate asks for another of the same
 * name. Other requests wait for `kubectl certificate approve`.
 */
export function isApprovedByItself(
  { spec }: CertificateSigningRequest,
  { commonName }: RequestedIdentity,
): boolean {
  const isNode =
    spec.username?.startsWith(nodePrefix) === true && spec.groups?.includes('system:nodes') === true;
  return isNode && spec.username === commonName && [kubeletClient, kubeletServing].includes(spec.signerName);
}
