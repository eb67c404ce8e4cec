/** `skiff doctor`: a table of what this machine offers, with a remedy on every line that is not green. */
import { existsSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import type { Check, Finding, Verdict } from '../doctor/check.ts';
import {
  checkCgroups,
  checkKernel,
  checkKvm,
  checkNamespaces,
  checkRoot,
  checkSeccomp,
  checkSecurityModules,
} from '../doctor/kernel.ts';
import { checkDisk, checkOverlay, checkPorts } from '../doctor/places.ts';
import { checkRuntimes } from '../doctor/runtimes.ts';
import {
  checkCni,
  checkConmon,
  checkHypervisor,
  checkImageTools,
  checkPacketFilter,
} from '../doctor/tools.ts';
import { table } from '../output/table.ts';

/** Runs every check; fails when one says that pods cannot run. */
export async function run(context: Context, options: { json?: boolean }): Promise<void> {
  const findings = await examine(context);
  if (options.json === true) context.out.write(`${JSON.stringify(findings)}\n`);
  else context.out.write(`${present(context, findings).join('\n')}\n`);
  const broken = findings.filter((each) => each.verdict === 'fail').map((each) => each.name);
  if (broken.length > 0) {
    throw new SkiffError('FAILED_PRECONDITION', `pods cannot run here yet: see ${broken.join(', ')}`);
  }
}

async function examine(context: Context): Promise<Finding[]> {
  const checks: Check[] = [
    checkRoot,
    checkKernel,
    checkNamespaces,
    checkCgroups,
    checkSeccomp,
    checkSecurityModules,
    checkConmon,
    checkRuntimes,
    checkCni,
    checkPacketFilter,
    checkOverlay(context.paths),
    checkDisk(context.paths),
    checkPorts(existsSync(context.paths.criSocket)),
    checkImageTools,
    checkHypervisor,
    checkKvm,
  ];
  const found: Finding[] = [];
  for (const check of checks) found.push(...(await check()));
  return found;
}

function present(context: Context, findings: Finding[]): string[] {
  const { styles } = context;
  const marks: Record<Verdict, string> = {
    ok: styles.green('ok'),
    warn: styles.yellow('warn'),
    fail: styles.red('FAIL'),
  };
  const rows = findings.map((each) => [marks[each.verdict], each.name, each.detail, each.remedy ?? '']);
  return table(['', 'CHECK', 'FOUND', 'REMEDY'], rows);
}
