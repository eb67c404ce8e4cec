/** `skiff vm list`: the virtual machines of this node's pods. */
import { connectCri } from '#contracts/cri/client.ts';
import { type Context, requireRoot } from '../context.ts';
import { listVms, type VmView } from '../node/vm.ts';
import { table } from '../output/table.ts';
import { age, bytes } from '../output/units.ts';

/** Prints VMs with the pods whose they are. */
export async function run(context: Context, options: { json?: boolean }): Promise<void> {
  requireRoot('vm list', 'to ask the supervisors of VMs');
  const [vms, names] = await Promise.all([listVms(context.paths), podNames(context)]);
  const shown = vms.map((vm) => ({ pod: names.get(vm.id) ?? '<none>', ...vm }));
  if (options.json === true) context.out.write(`${JSON.stringify(shown)}\n`);
  else {
    const header = ['POD', 'SANDBOX', 'STATE', 'VMM', 'PID', 'CPUS', 'MEMORY', 'CONTAINERS', 'AGE'];
    context.out.write(`${table(header, shown.map(rowOf)).join('\n')}\n`);
  }
}

function rowOf(vm: VmView & { pod: string }): string[] {
  const { createdAt, memoryBytes } = vm;
  return [
    vm.pod,
    vm.id.slice(0, 13),
    vm.state,
    vm.hypervisor ?? '',
    String(vm.vmmPid ?? ''),
    String(vm.vcpus ?? ''),
    memoryBytes === undefined ? '' : bytes(memoryBytes),
    String(vm.containers ?? ''),
    createdAt === undefined ? '' : age(Date.now() - createdAt),
  ];
}

/** VMs outlive the server: without one they are shown without names. */
async function podNames(context: Context): Promise<Map<string, string>> {
  try {
    using cri = connectCri(context.paths.criSocket);
    const { items } = await cri.runtime.listPodSandbox({}, { timeoutMs: 2000 });
    return new Map(items.map(({ id, metadata }) => [id, metadata?.name ?? '']));
  } catch {
    return new Map();
  }
}
