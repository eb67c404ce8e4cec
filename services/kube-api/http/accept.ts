/** In which form a client wants its answer. */
import type { ApiRequest } from './request.ts';
import { StatusError } from './status.ts';

/** A form: the object itself, a table for people, or the metadata alone. */
export type Form = 'object' | 'table' | 'metadata';

/**
 * Reads the Accept header: the first form that is served. protobuf is not, clients that offer JSON beside it
 * get JSON.
 *
 * @throws 406 if none is.
 */
export function wantedForm({ raw }: Pick<ApiRequest, 'raw'>): Form {
  const accept = raw.headers.accept;
  if (accept === undefined || accept === '') return 'object';
  for (const range of accept.split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    if (!['application/json', '*/*', 'application/*'].includes(type)) continue;
    const as = parameters.find((each) => each.startsWith('as='))?.slice(3);
    if (as === undefined) return 'object';
    if (as === 'Table') return 'table';
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') return 'metadata';
  }
  throw new StatusError(
    406,
    'NotAcceptable',
    'only the following media types are accepted: application/json',
  );
}
