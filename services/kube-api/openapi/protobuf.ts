/**
 * The OpenAPI v2 document as protobuf: older kubectl (before 1.27) takes it in no other form.
 * The messages are gnostic's: https://github.com/google/gnostic-models (openapiv2).
 */
import { bytesField, integerField } from '#contracts/kubernetes/protobuf/wire.ts';

/** The media type of the answer. */
export const openApiAnswerType = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
/** The media type by which clients ask for it; `@` is no character of media types, so that no answer can say it. */
export const openApiProtobufType = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';

type Json = Record<string, unknown>;
type Entries = Readonly<Record<string, Json>>;

/** Field numbers of the messages' fields that are texts, or messages of their own. */
const operations: Readonly<Record<string, number>> = { get: 2, put: 3, post: 4, delete: 5, patch: 8 };

/** Encodes a document as `document.ts` makes it. */
export function encodeOpenApi(document: object): Buffer {
  const { swagger, info, paths, definitions } = document as Record<string, Json>;
  return Buffer.concat([
    bytesField(1, String(swagger)),
    bytesField(2, Buffer.concat([bytesField(1, String(info?.title)), bytesField(2, String(info?.version))])),
    bytesField(8, named(2, paths as Entries, pathItem)),
    bytesField(9, named(1, definitions as Entries, schema)),
  ]);
}

/** A message that has nothing but repeated pairs of a name and a value. */
function named(number: number, entries: Entries, value: (each: Json) => Buffer): Buffer {
  const pairs = Object.entries(entries).map(([name, each]) =>
    bytesField(number, Buffer.concat([bytesField(1, name), bytesField(2, value(each))])),
  );
  return Buffer.concat(pairs);
}

function pathItem(item: Json): Buffer {
  return Buffer.concat(
    Object.entries(item).map(([method, each]) =>
      bytesField(operations[method] ?? 0, operation(each as Json)),
    ),
  );
}

function operation(item: Json): Buffer {
  const parameters = (item.parameters ?? []) as Json[];
  const response = bytesField(1, bytesField(1, 'OK'));
  const ok = Buffer.concat([bytesField(1, '200'), bytesField(2, response)]);
  return Buffer.concat([
    ...parameters.map((each) => bytesField(8, bytesField(1, bytesField(2, bytesField(3, parameter(each)))))),
    bytesField(9, bytesField(1, ok)),
    ...extensions(item, 13),
  ]);
}

/** A parameter of the query. */
function parameter({ name, description }: Json): Buffer {
  return Buffer.concat([
    bytesField(2, 'query'),
    bytesField(3, String(description)),
    bytesField(4, String(name)),
    bytesField(6, 'string'),
  ]);
}

function schema(item: Json): Buffer {
  const parts: Buffer[] = [];
  const text = (number: number, value: unknown) => {
    if (value !== undefined) parts.push(bytesField(number, String(value)));
  };
  text(1, item.$ref);
  text(2, item.format);
  text(4, item.description);
  for (const each of (item.required ?? []) as string[]) parts.push(bytesField(19, each));
  if (item.additionalProperties !== undefined)
    parts.push(bytesField(21, bytesField(1, schema(item.additionalProperties as Json))));
  if (item.type !== undefined) parts.push(bytesField(22, bytesField(1, String(item.type))));
  if (item.items !== undefined) parts.push(bytesField(23, bytesField(1, schema(item.items as Json))));
  if (item.properties !== undefined) parts.push(bytesField(25, named(1, item.properties as Entries, schema)));
  if (item.uniqueItems === true) parts.push(integerField(16, 1));
  parts.push(...extensions(item, 31));
  return Buffer.concat(parts);
}

/** `x-...` fields: any value, as YAML, which JSON is. */
function extensions(item: Json, number: number): Buffer[] {
  return Object.entries(item)
    .filter(([name]) => name.startsWith('x-'))
    .map(([name, value]) => {
      const any = bytesField(2, JSON.stringify(value));
      return bytesField(number, Buffer.concat([bytesField(1, name), bytesField(2, any)]));
    });
}
