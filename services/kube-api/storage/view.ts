/** A store in which one resource is another one of the store, in another form. All else is as it is. */
import type { View } from '../kinds/strategy.ts';
import type { Change, Stored } from './history.ts';
import type { Edit, Store } from './store.ts';

/** The store as calls on a view see it. @param resource the view's own name. */
export function throughView(store: Store, resource: string, view: View): Store {
  const inStore = (name: string) => (name === resource ? view.of : name);
  const shownIf = <T>(name: string, found: T, show: (found: T) => T) =>
    name === resource ? show(found) : found;
  const shown = (stored: Stored): Stored => {
    const object = view.shown(stored.object as never);
    return { object, json: JSON.stringify(object), revision: stored.revision };
  };
  const shownOrNone = (stored: Stored | undefined) => stored && shown(stored);
  const shownChange = (change: Change): Change => ({
    ...change,
    current: shown(change.current),
    previous: shownOrNone(change.previous),
    lines: new Map(),
  });
  return {
    ...store,
    get: (name, at) => shownIf(name, store.get(inStore(name), at), shownOrNone),
    list: (name, namespace) =>
      shownIf(name, store.list(inStore(name), namespace), (found) => found.map(shown)),
    edit: async (name, at, edit) => {
      if (name !== resource) return store.edit(name, at, edit);
      return shownOrNone(await store.edit(view.of, at, (current) => throughEdit(view, edit, current, shown)));
    },
    history: {
      ...store.history,
      since: (name, revision) =>
        shownIf(name, store.history.since(inStore(name), revision), (changes) => changes?.map(shownChange)),
      subscribe: (name, listener) =>
        name === resource
          ? store.history.subscribe(view.of, (change) => listener(shownChange(change)))
          : store.history.subscribe(name, listener),
    },
  };
}

function throughEdit(
  view: View,
  edit: (current: Stored | undefined) => Edit,
  current: Stored | undefined,
  show: (stored: Stored) => Stored,
): Edit {
  const result = edit(current && show(current));
  if (result === 'keep') return result;
  if ('put' in result) return { put: view.stored(result.put as never) };
  return { remove: view.stored(result.remove as never) };
}
