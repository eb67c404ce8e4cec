/**
 * Writes `contracts/cri/runtime.proto` from the table of every CRI message, field number and RPC
 * (`shared/facts/cri-v1.json`). The table is the source of truth; the proto is its readable form.
 *
 * Usage: node scripts/proto-from-table.ts TABLE.json > contracts/cri/runtime.proto
 */
import { readFileSync } from 'node:fs';

interface Field {
  number: number;
  name: string;
  type: string;
  label: 'repeated' | 'map' | 'oneof' | null;
  options?: Record<string, boolean>;
}
interface Rpc {
  name: string;
  request: string;
  response: string;
  streaming: 'none' | 'server' | string;
}
interface Enum {
  name: string;
  values: { name: string; number: number }[];
}
interface Message {
  name: string;
  fields: Field[];
}
interface Table {
  package: string;
  source: { criApiModule: string };
  messages: Message[];
  enums: Enum[];
  services: { name: string; rpcs: Rpc[] }[];
}

function fieldLine(field: Field): string {
  const label = field.label === 'repeated' ? 'repeated ' : '';
  const options = Object.entries(field.options ?? {}).map(([key, value]) => `${key} = ${value}`);
  const suffix = options.length > 0 ? ` [${options.join(', ')}]` : '';
  return `  ${label}${field.type} ${field.name} = ${field.number}${suffix};`;
}

function block(head: string, lines: string[]): string {
  return lines.length === 0 ? `${head} {}\n` : `${head} {\n${lines.join('\n')}\n}\n`;
}

function enumBlock(each: Enum): string {
  const name = each.name.split('.').at(-1);
  return block(
    `enum ${name}`,
    each.values.map((value) => `  ${value.name} = ${value.number};`),
  );
}

/** A message with the enums that the table names `Message.Enum` nested in it. */
function messageBlock(message: Message, enums: Enum[]): string {
  const nested = enums
    .filter((each) => each.name.startsWith(`${message.name}.`))
    .flatMap((each) => enumBlock(each).trimEnd().split('\n'))
    .map((line) => `  ${line}`);
  return block(`message ${message.name}`, [...nested, ...message.fields.map(fieldLine)]);
}

function rpcLine(rpc: Rpc): string {
  const stream = rpc.streaming === 'none' ? '' : 'stream ';
  return `  rpc ${rpc.name}(${rpc.request}) returns (${stream}${rpc.response});`;
}

const path = process.argv[2];
if (path === undefined) throw new Error('usage: proto-from-table.ts TABLE.json');
const table = JSON.parse(readFileSync(path, 'utf8')) as Table;
const parts = [
  `// CRI ${table.package}, as of ${table.source.criApiModule}. Written by scripts/proto-from-table.ts; do not edit.`,
  'syntax = "proto3";\n',
  `package ${table.package};\n`,
  ...table.services.map((service) => block(`service ${service.name}`, service.rpcs.map(rpcLine))),
  ...table.enums.filter((each) => !each.name.includes('.')).map((each) => enumBlock(each)),
  ...table.messages.map((message) => messageBlock(message, table.enums)),
];
process.stdout.write(parts.join('\n'));
