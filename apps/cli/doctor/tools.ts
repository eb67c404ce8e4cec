/** Checks of the programs that Skiff runs: conmon, OCI runtimes, CNI plugins, packet filters. */
import { existsSync, readdirSync } from 'node:fs';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import { tryCommand } from '#foundation/linux/command.ts';
import { vmProgram } from '../node/vm.ts';
import { broken, type Check, fine, lacking } from './check.ts';

/** The first line that a program prints of its version; undefined if it is not there or fails. */
async function versionOf(file: string, args = ['--version']): Promise<string | undefined> {
  try {
    const result = await tryCommand({ file, args, timeoutMs: 5000 });
    return result.exitCode === 0 ? (result.stdout.toString().split('\n')[0] ?? '') : undefined;
  } catch (error) {
    if (isSkiffError(error)) return undefined;
    throw error;
  }
}

export const checkConmon: Check = async () => {
  const version = await versionOf('conmon');
  return [
    version === undefined
      ? broken('conmon', 'not found', 'apt-get install conmon')
      : fine('conmon', version.replace('conmon version ', '')),
  ];
};

const plugins = ['bridge', 'host-local', 'loopback', 'portmap'];

export const checkCni: Check = async () => {
  const directories = ['/usr/lib/cni', '/opt/cni/bin'].filter((each) => existsSync(each));
  const present = new Set(directories.flatMap((each) => readdirSync(each)));
  const absent = plugins.filter((each) => !present.has(each));
  return [
    absent.length === 0
      ? fine('cni plugins', `${present.size} in ${directories.join(' ')}`)
      : broken(
          'cni plugins',
          `not found: ${absent.join(' ')}`,
          'apt-get install containernetworking-plugins',
        ),
  ];
};

export const checkPacketFilter: Check = async () => {
  const tries: [string, string[]][] = [
    ['nft', ['list', 'tables']],
    ['iptables', ['-w', '5', '-t', 'nat', '-S']],
  ];
  const working: string[] = [];
  const reasons: string[] = [];
  for (const [file, args] of tries) {
    const reason = await failureOf(file, args);
    if (reason === undefined) working.push(file);
    else reasons.push(reason);
  }
  if (working.length > 0) return [fine('packet filter', working.join(' '))];
  return [
    broken(
      'packet filter',
      reasons.join('; '),
      'apt-get install nftables iptables; host ports need one of them',
    ),
  ];
};

async function failureOf(file: string, args: string[]): Promise<string | undefined> {
  try {
    const result = await tryCommand({ file, args, timeoutMs: 8000 });
    return result.exitCode === 0 ? undefined : `${file}: ${result.stderr.trim().split('\n').at(-1)}`;
  } catch (error) {
    return `${file}: ${messageOf(error)}`;
  }
}

export const checkImageTools: Check = async () => {
  const version = await versionOf('mmdebstrap');
  return [
    version === undefined
      ? lacking('mmdebstrap', 'not found', 'apt-get install mmdebstrap (for `skiff image debian`)')
      : fine('mmdebstrap', version.replace('mmdebstrap ', '')),
  ];
};

export const checkHypervisor: Check = async () => {
  const version = await versionOf('qemu-system-x86_64');
  if (version === undefined)
    return [lacking('qemu', 'not found', 'skiff setup vm (for pods with runtimeClassName: vm)')];
  // Asks the runtime of VM pods itself; it boots none.
  const { exitCode, stderr } = await tryCommand({ file: vmProgram, args: ['check'] });
  const missing = stderr.trim().replace(/^skiff-vm: /, '');
  return [
    fine('qemu', version.replace('QEMU emulator version ', '')),
    exitCode === 0
      ? fine('vm pods', 'all that they need is here')
      : lacking('vm pods', missing, 'skiff setup vm (for pods with runtimeClassName: vm)'),
  ];
};
