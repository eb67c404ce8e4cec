/** Finds out who asks: by client certificate or bearer token. Nobody else gets in. */
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { User } from '../http/request.ts';
import { StatusError, unauthorized } from '../http/status.ts';
import type { Tokens } from './tokens.ts';

/** Who asks without saying who. */
export const anonymous: User = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

/** Finds out who asks; administrators may act as others (`Impersonate-User`). @throws 401, 403. */
export function createAuthenticator(tokens: Tokens): (request: IncomingMessage) => User {
  const bySocket = new WeakMap<object, User>();
  return (request) => {
    const user = identify(request, tokens, bySocket);
    return impersonated(request, user);
  };
}

function identify(request: IncomingMessage, tokens: Tokens, bySocket: WeakMap<object, User>): User {
  const header = request.headers.authorization;
  if (header !== undefined) {
    const [scheme = '', token = ''] = header.split(' ');
    const found = scheme.toLowerCase() === 'bearer' ? tokens.authenticate(token) : undefined;
    if (found === undefined) throw unauthorized();
    return found.user;
  }
  const { socket } = request;
  const known = bySocket.get(socket);
  if (known !== undefined) return known;
  const user = socket instanceof TLSSocket ? certificateUser(socket) : anonymous;
  bySocket.set(socket, user);
  return user;
}

function certificateUser(socket: TLSSocket): User {
  const certificate = socket.getPeerCertificate();
  if (certificate.subject === undefined) return anonymous;
  if (!socket.authorized) throw unauthorized();
  const { CN, O } = certificate.subject as { CN?: string | string[]; O?: string | string[] };
  const name = Array.isArray(CN) ? CN[0] : CN;
  if (name === undefined || name === '') throw unauthorized();
  const groups = O === undefined ? [] : Array.isArray(O) ? O : [O];
  return { name, groups: [...groups, 'system:authenticated'] };
}

function impersonated({ headers }: IncomingMessage, user: User): User {
  const name = headers['impersonate-user'];
  if (name === undefined) return user;
  if (!user.groups.includes('system:masters'))
    throw new StatusError(
      403,
      'Forbidden',
      `users "${String(name)}" is forbidden: User "${user.name}" cannot impersonate resource "users" in API group "" at the cluster scope`,
    );
  const asked = headers['impersonate-group'];
  const groups =
    asked === undefined
      ? []
      : String(asked)
          .split(',')
          .map((each) => each.trim());
  return { name: String(name), groups: [...groups, 'system:authenticated'] };
}
