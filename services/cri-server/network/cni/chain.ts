/**
 * Runs the plugins of a list in order (CNI spec, section 3): ADD and CHECK forwards, each plugin given the
 * result of the one before; DEL backwards, each given the result of the whole ADD.
 */
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import {
  type CniResult,
  type ConfigList,
  type PluginCall,
  type PluginConfig,
  type PluginRunner,
  resultIn,
  versionAtLeast,
} from './types.ts';

/** One container's place on one network. */
export interface Attachment {
  list: ConfigList;
  containerId: string;
  ifName: string;
  /** CNI_ARGS. */
  args: string;
  /** What the runtime knows, by capability: `portMappings`, `bandwidth`, `dns`, `ips`, ... */
  capabilities: Record<string, unknown>;
}

/** ADD of every plugin. @throws SkiffError of the first that fails; the caller must then DEL. */
export async function addChain(
  runner: PluginRunner,
  attachment: Attachment,
  netns: string,
  signal: AbortSignal,
): Promise<CniResult> {
  let previous: CniResult | undefined;
  for (const plugin of attachment.list.plugins)
    previous = await runner.run(callOf('ADD', attachment, plugin, netns, previous), signal);
  return previous ?? { cniVersion: attachment.list.cniVersion };
}

/**
 * DEL of every plugin, also of those behind a failing one, so that one broken plugin leaks nothing of another.
 *
 * @param netns empty if the namespace is gone.
 * @param result what ADD returned; left out if it never did.
 * @throws SkiffError of the first that failed.
 */
export async function deleteChain(
  runner: PluginRunner,
  attachment: Attachment,
  netns: string,
  result: CniResult | undefined,
  signal: AbortSignal,
): Promise<void> {
  const failures: unknown[] = [];
  // Results reach DEL since 0.4.0 only.
  const previous = versionAtLeast(attachment.list.cniVersion, '0.4.0') ? result : undefined;
  for (const plugin of attachment.list.plugins.toReversed()) {
    try {
      await runner.run(callOf('DEL', attachment, plugin, netns, previous), signal);
    } catch (error) {
      failures.push(error);
    }
  }
  const [first] = failures;
  if (first === undefined) return;
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : '';
  if (first instanceof SkiffError)
    throw new SkiffError(first.code, `${first.message}${more}`, { cause: first });
  throw new SkiffError('INTERNAL', `${messageOf(first)}${more}`, { cause: first });
}

/** CHECK of every plugin; nothing before 0.4.0 or where the list forbids it. @throws SkiffError if one objects. */
export async function checkChain(
  runner: PluginRunner,
  attachment: Attachment,
  netns: string,
  result: CniResult,
  signal: AbortSignal,
): Promise<void> {
  const { list } = attachment;
  if (list.disableCheck === true || !versionAtLeast(list.cniVersion, '0.4.0')) return;
  for (const plugin of list.plugins)
    await runner.run(callOf('CHECK', attachment, plugin, netns, result), signal);
}

/** GC of every plugin (since 1.1.0): releases what belongs to no attachment of `valid`. */
export async function collectChain(
  runner: PluginRunner,
  list: ConfigList,
  valid: readonly { containerId: string; ifName: string }[],
  signal: AbortSignal,
): Promise<void> {
  if (list.disableGC === true || !versionAtLeast(list.cniVersion, '1.1.0')) return;
  const attachments = valid.map(({ containerId, ifName }) => ({ containerID: containerId, ifname: ifName }));
  const nobody = { list, containerId: '', ifName: '', args: '', capabilities: {} };
  for (const plugin of list.plugins) {
    const extended = { ...plugin, 'cni.dev/valid-attachments': attachments };
    await runner.run(callOf('GC', nobody, extended, '', undefined), signal);
  }
}

/** STATUS of every plugin (since 1.1.0). @throws SkiffError if one cannot serve an ADD now. */
export async function statusChain(
  runner: PluginRunner,
  list: ConfigList,
  signal: AbortSignal,
): Promise<void> {
  if (!versionAtLeast(list.cniVersion, '1.1.0')) return;
  const nobody = { list, containerId: '', ifName: '', args: '', capabilities: {} };
  for (const plugin of list.plugins)
    await runner.run(callOf('STATUS', nobody, plugin, '', undefined), signal);
}

/** The config a plugin gets: its own, plus the list's name and version, its capabilities, the result so far. */
function callOf(
  verb: PluginCall['verb'],
  attachment: Attachment,
  plugin: PluginConfig,
  netns: string,
  previous: CniResult | undefined,
): PluginCall {
  const { list, containerId, ifName, args } = attachment;
  const wanted = Object.entries(attachment.capabilities).filter(
    ([name]) => plugin.capabilities?.[name] === true,
  );
  const { capabilities: _announced, ...own } = plugin;
  const config = {
    ...own,
    name: list.name,
    cniVersion: list.cniVersion,
    ...(wanted.length > 0 ? { runtimeConfig: Object.fromEntries(wanted) } : {}),
    ...(previous === undefined ? {} : { prevResult: resultIn(list.cniVersion, previous) }),
  };
  return { verb, containerId, netns, ifName, args, config };
}
