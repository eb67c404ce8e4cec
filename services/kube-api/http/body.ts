/** Reads what a client sends. */
import { parse as parseYaml } from 'yaml';
import { decodeObject, protobufType } from '#contracts/kubernetes/protobuf/envelope.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { ApiRequest } from './request.ts';
import { badRequest, StatusError } from './status.ts';

/** Bytes of a body; as the original's. */
const maxBody = 3 * 1024 * 1024;
/** Bytes of a larger body that are read and dropped before the connection is cut. */
const maxDiscarded = 32 * 1024 * 1024;
/** How many nodes the aliases of a YAML body may expand to, for each. */
const maxAliasCount = 50;

/** The media type of a body, without parameters; JSON unless told. */
export function contentType({ raw }: Pick<ApiRequest, 'raw'>): string {
  return (raw.headers['content-type'] ?? 'application/json').split(';')[0]?.trim().toLowerCase() ?? '';
}

/** Reads the whole body. @throws 413 when it is too large. */
export async function readBody({ raw }: Pick<ApiRequest, 'raw'>): Promise<Buffer> {
  if (Number(raw.headers['content-length'] ?? 0) > maxDiscarded) throw tooLarge();
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of raw as AsyncIterable<Buffer>) {
    size += part.length;
    // A client that is still sending does not hear an answer: a body that is a little too large is read and dropped.
    if (size > maxDiscarded) throw tooLarge();
    if (size <= maxBody) parts.push(part);
  }
  if (size > maxBody) throw tooLarge();
  return Buffer.concat(parts);
}

function tooLarge(): StatusError {
  return new StatusError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${maxBody}`);
}

/** Reads the whole body and parses it. @throws 400, 413, 415. */
export async function readParsed(request: Pick<ApiRequest, 'raw'>, model: string): Promise<unknown> {
  return parseBody(await readBody(request), contentType(request), model);
}

/**
 * Parses a body as JSON, YAML or protobuf by its media type.
 *
 * @param model the message that a protobuf body is; left out where there is none.
 * @throws 400 if it is not what the type says, 415 for other types.
 */
export function parseBody(bytes: Buffer, type: string, model?: string): unknown {
  if (type === protobufType && model !== undefined) return parseProtobuf(bytes, model);
  const text = bytes.toString('utf8');
  if (type.endsWith('json')) return parseJson(text);
  if (type.endsWith('yaml')) {
    if (text.trimStart().startsWith('{')) return parseJson(text);
    try {
      return parseYaml(text, { maxAliasCount, version: '1.1' });
    } catch (error) {
      throw badRequest(`error decoding YAML: ${messageOf(error)}`);
    }
  }
  const others = model === undefined ? [] : [protobufType];
  throw unsupportedType(type, ['application/json', 'application/yaml', ...others]);
}

function parseProtobuf(bytes: Buffer, model: string): unknown {
  try {
    return decodeObject(bytes, model);
  } catch (error) {
    throw badRequest(messageOf(error));
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw badRequest(`the body is not JSON: ${messageOf(error)}`);
  }
}

/** 415 with what would be taken. */
export function unsupportedType(type: string, accepted: readonly string[]): StatusError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}; this was ${type}`;
  return new StatusError(415, 'UnsupportedMediaType', message);
}
