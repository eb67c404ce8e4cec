/** In which form and encoding a client wants its answer. */
import type { IncomingMessage } from 'node:http';
import { protobufType } from '#contracts/kubernetes/protobuf/envelope.ts';
import { StatusError } from './status.ts';

/** A form: the object itself, a table for people, or the metadata alone. */
export type Form = 'object' | 'table' | 'metadata';

interface Wanted {
  form: Form;
  protobuf: boolean;
}

const jsonTypes = new Set(['application/json', '*/*', 'application/*']);

/** Reads the Accept header: the first form that is served. @throws 406 if none is. */
export function wantedForm({ raw }: { raw: Pick<IncomingMessage, 'headers'> }): Form {
  const found = choose(raw.headers.accept);
  if (found !== undefined) return found.form;
  throw new StatusError(
    406,
    'NotAcceptable',
    `only the following media types are accepted: application/json, ${protobufType}`,
  );
}

/**
 * Whether a client takes protobuf alone. Who takes JSON as well gets JSON: objects are kept as that, and to send them
 * as they are costs least.
 */
export function wantsProtobuf({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return choose(headers.accept)?.protobuf === true;
}

function choose(accept: string | undefined): Wanted | undefined {
  if (accept === undefined || accept === '') return { form: 'object', protobuf: false };
  const wanted = accept.split(',').flatMap((range) => read(range) ?? []);
  return wanted.find(({ protobuf }) => !protobuf) ?? wanted[0];
}

function read(range: string): Wanted | undefined {
  const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
  const protobuf = type === protobufType;
  if (!protobuf && !jsonTypes.has(type)) return undefined;
  const as = parameters.find((each) => each.startsWith('as='))?.slice(3);
  if (as === undefined) return { form: 'object', protobuf };
  // Tables exist as JSON only.
  if (as === 'Table') return protobuf ? undefined : { form: 'table', protobuf };
  const metadata = as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList';
  return metadata ? { form: 'metadata', protobuf } : undefined;
}
