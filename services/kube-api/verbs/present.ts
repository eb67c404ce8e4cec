/** Brings objects into the form the client asked for: themselves, a table, or their metadata. */
import { apiVersionOf } from '#contracts/kubernetes/meta.ts';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import { wantedForm } from '../http/accept.ts';
import { sendJson } from '../http/respond.ts';
import type { Stored } from '../storage/history.ts';
import { layoutOf } from '../tables/columns.ts';
import type { Call } from './deps.ts';

/** Where a page of a list is. */
export interface Page {
  revision: number;
  /** The token for the next page. */
  next?: string;
  remaining?: number;
}

/** Objects as JSON in one form. */
export interface Presenter {
  /** Whether objects are shown as they are stored, so that all who ask get the same bytes. */
  plain: boolean;
  one(stored: Stored): string;
  bookmark(object: KubeObject): string;
  list(items: readonly Stored[], page: Page): string;
}

/** The presenter that a call's Accept header asks for. */
export function presenter(call: Call): Presenter {
  const form = wantedForm(call.request);
  if (form === 'table') return tables(call);
  if (form === 'metadata') return metadata();
  const { kind } = call.type;
  return {
    plain: true,
    one: (stored) => stored.json,
    bookmark: (object) => JSON.stringify(object),
    list: (items, page) => {
      const head = JSON.stringify({
        kind: `${kind.kind}List`,
        apiVersion: apiVersionOf(kind),
        metadata: listMeta(page),
      });
      return `${head.slice(0, -1)},"items":[${items.map((each) => each.json).join(',')}]}`;
    },
  };
}

function listMeta({ revision, next, remaining }: Page) {
  return {
    resourceVersion: String(revision),
    ...(next === undefined ? {} : { continue: next }),
    ...(remaining === undefined ? {} : { remainingItemCount: remaining }),
  };
}

function metadata(): Presenter {
  const partial = ({ metadata }: KubeObject) => ({
    kind: 'PartialObjectMetadata',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
  });
  return {
    plain: false,
    one: ({ object }) => JSON.stringify(partial(object)),
    bookmark: (object) => JSON.stringify(partial(object)),
    list: (items, page) =>
      JSON.stringify({
        kind: 'PartialObjectMetadataList',
        apiVersion: 'meta.k8s.io/v1',
        metadata: listMeta(page),
        items: items.map(({ object }) => partial(object)),
      }),
  };
}

function tables({ request, type, deps }: Call): Presenter {
  const { columns, row } = layoutOf(type.kind.kind);
  const { view } = type.strategy;
  const include = request.query.get('includeObject') ?? 'Metadata';
  const shown = (object: KubeObject) => {
    if (include === 'None') return {};
    if (include === 'Object') return { object };
    return {
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
    };
  };
  let first = true;
  const table = (objects: readonly KubeObject[], meta: object, rows: boolean) => {
    // A watch names its columns once.
    const columnDefinitions = first ? columns : null;
    first = false;
    const now = deps.clock.now();
    // The columns of a view are those of what it shows.
    const inStore = (object: KubeObject) => (view === undefined ? object : view.stored(object as never));
    const cells = (object: KubeObject) => (rows ? row(inStore(object) as never, now) : columns.map(() => ''));
    return JSON.stringify({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      metadata: meta,
      columnDefinitions,
      rows: objects.map((object) => ({ cells: cells(object), ...shown(object) })),
    });
  };
  return {
    plain: false,
    one: ({ object }) => table([object], { resourceVersion: object.metadata.resourceVersion }, true),
    bookmark: (object) => table([object], { resourceVersion: object.metadata.resourceVersion }, false),
    list: (items, page) =>
      table(
        items.map((each) => each.object),
        listMeta(page),
        true,
      ),
  };
}

/** Answers one object. */
export function sendObject(call: Call, status: number, object: Stored | KubeObject): void {
  const stored = 'json' in object ? object : { object, json: JSON.stringify(object), revision: 0 };
  sendJson(call.request, status, presenter(call).one(stored));
}

/** Answers a list. */
export function sendList(call: Call, items: readonly Stored[], page: Page): void {
  sendJson(call.request, 200, presenter(call).list(items, page));
}
