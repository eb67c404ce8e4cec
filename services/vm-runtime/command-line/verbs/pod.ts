/** `pod`: VMs that live without a container, as a CRI server makes them, and a look at all of them. */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { PodState } from '#contracts/vm/supervisor_pb.ts';
import { messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { type PodPaths, podPaths, podPathsIn, podsDirectory } from '../../supervisor/paths.ts';
import { listPodDirectories, loadRecord, type PodConfig } from '../../supervisor/records.ts';
import { usage } from '../arguments.ts';
import { type Context, withPod } from '../context.ts';
import { makePod, type PodWish } from '../pod.ts';

/** Milliseconds until a VM must be up. */
const bootMs = 120_000;

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const [verb, word = ''] = args;
  if (verb === 'list') return list(context);
  if (word === '') throw usage('pod create FILE | delete ID | show ID | console ID | list');
  if (verb === 'create') return create(context, word);
  if (verb === 'delete') return remove(context, word);
  if (verb === 'show') return show(context, podPaths(context.root, word));
  if (verb === 'console') return printConsole(context, word);
  throw usage(`there is no command "pod ${verb}"`);
}

/** Makes a VM and waits until it is ready. The file is a `PodWish` as JSON; "-" reads standard input. */
async function create(context: Context, file: string): Promise<undefined> {
  let wish: PodWish;
  try {
    wish = JSON.parse(readFileSync(file === '-' ? 0 : file, 'utf8')) as PodWish;
  } catch (error) {
    throw wrapError(error, `Cannot read ${file}`);
  }
  const pod = makePod(resolve(context.root), wish);
  try {
    await withPod(context, pod, async (client) => {
      const end = performance.now() + bootMs;
      for (;;) {
        const { state, reason } = await client.getPod({});
        if (state === PodState.READY) return;
        if (state === PodState.ENDED) throw new SkiffError('UNAVAILABLE', reason);
        if (performance.now() > end) throw new SkiffError('DEADLINE_EXCEEDED', 'the VM is not ready in time');
        await new Promise((wake) => setTimeout(wake, 5));
      }
    });
  } catch (error) {
    await remove(context, wish.id).catch(() => {});
    throw wrapError(error, `Cannot make the VM of pod ${wish.id}`);
  }
  await show(context, pod);
}

/** Ends a VM and all its containers; one that is not there is success. */
async function remove(context: Context, id: string): Promise<undefined> {
  const pod = podPaths(resolve(context.root), id);
  if (!exists(pod.directory)) return;
  if (!exists(pod.config)) return rmSync(pod.directory, { recursive: true, force: true }) as undefined;
  await withPod(context, pod, (client) => client.shutdown({ graceMs: 2000 }, { timeoutMs: 90_000 }));
}

async function show(context: Context, pod: PodPaths): Promise<undefined> {
  context.print(`${JSON.stringify(await describe(context, pod))}\n`);
}

/** By number, as the contract has them. */
const stateNames = ['BOOTING', 'READY', 'ENDING', 'ENDED'] as const;

async function describe(context: Context, pod: PodPaths): Promise<object> {
  const config = loadRecord<PodConfig>(pod.config);
  const known = { id: config?.id ?? '', directory: pod.directory, socket: pod.socket };
  try {
    return await withPod(context, pod, async (client) => {
      const view = await client.getPod({});
      return {
        ...known,
        state: stateNames[view.state],
        reason: view.reason,
        hypervisor: view.hypervisor,
        vmmPid: view.vmmPid,
        supervisorPid: view.supervisorPid,
        vcpus: view.vcpus,
        memoryBytes: Number(view.memoryBytes),
        createdAt: Number(view.createdAt / 1_000_000n),
        bootId: view.bootId,
        consolePath: view.consolePath,
        containers: view.containers,
      };
    });
  } catch (error) {
    return { ...known, state: 'UNKNOWN', reason: messageOf(error) };
  }
}

/** All VMs of the root, one line of JSON each. */
async function list(context: Context): Promise<undefined> {
  const pods = listPodDirectories(podsDirectory(resolve(context.root))).map(podPathsIn);
  for (const line of await Promise.all(pods.map((pod) => describe(context, pod))))
    context.print(`${JSON.stringify(line)}\n`);
}

/** The latest of what the guest's kernel wrote. */
async function printConsole(context: Context, id: string): Promise<undefined> {
  const pod = podPaths(resolve(context.root), id);
  if (!exists(pod.config)) throw new SkiffError('NOT_FOUND', `there is no VM of pod "${id}"`);
  const { consolePath } = await withPod(context, pod, (client) => client.getPod({}));
  if (exists(consolePath)) context.print(readFileSync(consolePath, 'utf8'));
}

function exists(path: string): boolean {
  return path !== '' && statSync(path, { throwIfNoEntry: false }) !== undefined;
}
