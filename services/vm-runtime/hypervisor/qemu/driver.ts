/** The first hypervisor: QEMU's microvm, with KVM where it works and emulation elsewhere. */
import { existsSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';
import { prepareNamespaces } from '#foundation/linux/namespaces.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';
import { relayProgram } from '../../relay/relay.ts';
import type { Hypervisor, Vm, VmTemplate } from '../types.ts';
import { type Acceleration, findAcceleration, judgeKvm } from './acceleration.ts';
import { removeVm } from './record.ts';
import { restoreVm } from './restore.ts';
import { attachVm, startVm } from './start.ts';
import { openTemplate, type QemuTemplate, removeTemplate, saveTemplate } from './template.ts';
import type { QemuVm } from './vm.ts';

/** What the driver needs. */
export interface QemuDeps {
  spawner: Spawner;
  /** Where it keeps whether KVM works: one directory for each root. */
  cacheDirectory: string;
  /** The program; Debian's place unless told. */
  program?: string;
  /** Not to be found out. */
  acceleration?: Acceleration;
  /** Leaves QEMU root's rights. */
  privileged?: boolean;
}

/** Makes the driver. */
export function createQemu(deps: QemuDeps): Hypervisor {
  const program = deps.program ?? '/usr/bin/qemu-system-x86_64';
  let found: Promise<Acceleration> | undefined;
  const acceleration = () => {
    found ??= deps.acceleration
      ? Promise.resolve(deps.acceleration)
      : findAcceleration({ spawner: deps.spawner, cacheDirectory: deps.cacheDirectory, program });
    return found;
  };
  const launchDeps = { spawner: deps.spawner, program, privileged: deps.privileged === true };
  const ready = prepareNamespaces();
  return {
    name: 'qemu',
    available: async () => {
      if (!existsSync(program))
        return { ok: false, reason: `QEMU is not installed (${program}): run "skiff setup vm"` };
      return { ok: true, acceleration: await acceleration() };
    },
    start: async (spec, signal) => {
      await ready;
      return await startVm({ ...launchDeps, acceleration }, spec, signal);
    },
    report: async (vm, cameUp) => {
      own(vm).guard?.disarm();
      if (deps.acceleration !== undefined || own(vm).record.acceleration !== 'kvm') return;
      found = Promise.resolve(judgeKvm(deps.cacheDirectory, cameUp));
    },
    attach: (directory, signal) => attachVm(directory, signal),
    cleanUp: (directory) => removeVm(directory),
    saveTemplate: async (vm, template) => {
      // Before somebody waits for a clone.
      await relayProgram(deps.cacheDirectory);
      return await saveTemplate(deps, own(vm), template);
    },
    openTemplate: (directory) => openTemplate(directory),
    removeTemplate: (directory) => removeTemplate(directory),
    restore: async (template, clone, signal) => {
      await ready;
      return await restoreVm(
        { ...launchDeps, cacheDirectory: deps.cacheDirectory },
        ownTemplate(template),
        clone,
        signal,
      );
    },
  };
}

function own(vm: Vm): QemuVm {
  if ('qmp' in vm) return vm as QemuVm;
  throw new SkiffError('INVALID_ARGUMENT', `The VM ${vm.id} is not one of QEMU's`);
}

function ownTemplate(template: VmTemplate): QemuTemplate {
  if ('record' in template) return template as QemuTemplate;
  throw new SkiffError('INVALID_ARGUMENT', `The template ${template.key} is not one of QEMU's`);
}
