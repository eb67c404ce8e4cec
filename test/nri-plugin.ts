/**
 * An NRI plugin for tests, as a process of its own. It does what its rules say and writes what it is asked to a
 * file, one JSON object a line. Started with `<socket> <index> <name> <rules>`, or by the runtime, which hands it
 * descriptor 3 and the rules as its configuration.
 */
import { appendFileSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import { fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { Plugin, Runtime } from '#contracts/nri/nri_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { serveTtrpc, ttrpcClient } from '#foundation/grpc/ttrpc.ts';
import { multiplex } from '#foundation/grpc/ttrpc-mux.ts';

/** What a test plugin does. */
export interface PluginRules {
  /** The file it writes to. */
  report: string;
  /** The mask of Configure's answer; 0 for all. */
  events?: number;
  /** Answers by method name, in protobuf's JSON. */
  answers?: Record<string, JsonValue>;
  /** Methods it answers with an error. */
  fail?: string[];
  /** Methods it says it does not have. */
  missing?: string[];
  /** Methods it never answers. */
  hang?: string[];
  /** Methods in which it exits. */
  crash?: string[];
  /** Calls UpdateContainers with this once it is synchronized. */
  update?: JsonValue;
}

const [path, index = '', name = '', text = '{"report":"/dev/null"}'] = process.argv.slice(2);
let rules: PluginRules = JSON.parse(text);
const socket = path === undefined ? new Socket({ fd: 3, readable: true, writable: true }) : connect(path);
const mux = multiplex(socket);
const runtime = ttrpcClient(mux.open(2));
const say = (line: object) => appendFileSync(rules.report, `${JSON.stringify(line)}\n`);

const handlers = Object.fromEntries(
  Plugin.methods.map((method) => [
    method.localName,
    async (request: never) => {
      const asked = toJson(method.input, request) as Record<string, unknown>;
      if (method.name === 'Configure' && typeof asked.config === 'string') rules = JSON.parse(asked.config);
      say({ plugin: process.env.NRI_PLUGIN_NAME ?? name, method: method.name, request: asked });
      if (rules.crash?.includes(method.name)) process.exit(1);
      if (rules.hang?.includes(method.name)) await new Promise(() => {});
      if (rules.missing?.includes(method.name)) throw new SkiffError('UNIMPLEMENTED', 'no such method');
      if (rules.fail?.includes(method.name)) throw new SkiffError('INTERNAL', `${method.name} refused`);
      if (method.name === 'Configure') return { events: rules.events ?? 0 };
      if (method.name === 'Synchronize' && asked.more === true) return { more: true };
      if (method.name === 'Synchronize' && rules.update !== undefined) setImmediate(updateContainers);
      const answer = rules.answers?.[method.name];
      return answer === undefined ? {} : fromJson(method.output, answer);
    },
  ]),
);

async function updateContainers(): Promise<void> {
  const { updateContainers: method } = Runtime.method;
  const answer = await runtime.call(method, fromJson(method.input, rules.update ?? {}), 5_000);
  say({ plugin: name, method: 'updated', request: toJson(method.output, answer) });
}

serveTtrpc(mux.open(1), Plugin, handlers);
mux.onClose((why) => {
  say({ plugin: name, method: 'closed', request: { why: why.message } });
  process.exit(0);
});
await runtime
  .call(Runtime.method.registerPlugin, { pluginName: name, pluginIdx: index }, 5_000)
  .catch((error: Error) => {
    say({ plugin: name, method: 'refused', request: { why: error.message } });
    process.exit(1);
  });
