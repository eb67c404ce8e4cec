/**
 * What fields are for, in the words of the Kubernetes API: read from the installed @kubernetes/client-node when
 * somebody asks (`kubectl explain`). Where the library was left out (a bundle), there are none.
 */
import { readFileSync } from 'node:fs';

/** Models whose class is not simply `V1` and the model's name. */
export const classNames: Readonly<Record<string, string>> = {
  Event: 'CoreV1Event',
  EventSeries: 'CoreV1EventSeries',
  EventsEvent: 'EventsV1Event',
  EventsEventSeries: 'EventsV1EventSeries',
  TokenRequest: 'AuthenticationV1TokenRequest',
  StorageTokenRequest: 'StorageV1TokenRequest',
  EndpointPort: 'DiscoveryV1EndpointPort',
  ResourceClaim: 'CoreV1ResourceClaim',
};

/** A declared field of a model class. */
export interface DeclaredField {
  description: string;
  required: boolean;
}

/** A model class as its declaration file has it. */
export interface Declaration {
  description: string;
  /** By the name of the class's property. */
  fields: ReadonlyMap<string, DeclaredField>;
}

const nothing: Declaration = { description: '', fields: new Map() };
const read = new Map<string, Declaration>();

/** The declaration of a model (`Pod`); empty if the library is not installed or has no such model. */
export function declarationOf(model: string): Declaration {
  const known = read.get(model);
  if (known !== undefined) return known;
  const found = parse(classNames[model] ?? `V1${model}`);
  read.set(model, found);
  return found;
}

function parse(className: string): Declaration {
  const text = declarationFile(className);
  if (text === undefined) return nothing;
  const fields = new Map<string, DeclaredField>();
  const body = text.slice(text.indexOf('export declare class'));
  for (const match of body.matchAll(/(?:\/\*\*\n([\s\S]*?)\*\/\s*)?'([^'\n]+)'(\??):/g))
    fields.set(match[2] ?? '', { description: clean(match[1] ?? ''), required: match[3] === '' });
  const [, about = ''] = /\/\*\*\n((?:\*[^\n]*\n)+?)\*\/\nexport declare class/.exec(text) ?? [];
  return { description: clean(about), fields };
}

function declarationFile(className: string): string | undefined {
  try {
    const library = import.meta.resolve('@kubernetes/client-node');
    return readFileSync(new URL(`gen/models/${className}.d.ts`, library), 'utf8');
  } catch {
    return undefined;
  }
}

function clean(comment: string): string {
  return comment
    .replace(/^\s*\* ?/gm, '')
    .replaceAll('\\"', '"')
    .trim();
}
