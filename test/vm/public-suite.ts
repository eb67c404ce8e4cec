/**
 * Judges a report of the public CRI validation suite on VMs:
 *
 *     critest -runtime-endpoint unix://... -runtime-handler vm -ginkgo.json-report=REPORT
 *     node test/vm/public-suite.ts REPORT
 *
 * What a VM cannot be must be refused as it is listed here; what is listed and passes all the same is an error of the
 * list. Exit status 1 if anything is otherwise.
 */
import { readFileSync } from 'node:fs';

/** What of a test's report (Ginkgo's JSON) is looked at. */
export interface SpecReport {
  ContainerHierarchyTexts: string[] | null;
  LeafNodeType: string;
  LeafNodeText: string;
  State: string;
  Failure?: { Message: string };
}

/** How a test ended. */
export interface PublicVerdict {
  name: string;
  word: 'passed' | 'refused' | 'skipped' | 'failed';
  reason: string;
}

const privileged = /cannot be a VM .*it is privileged; give it the plain runtime/;
const host = (what: string) =>
  new RegExp(`cannot be a VM .*it uses the host's ${what}; give it the plain runtime`);

/** What cannot work, by the test's text, with the words that the sandbox is refused in. */
export const publicRefusals: Readonly<Record<string, RegExp>> = {
  // Mounts that come and go between a container and the host: the suite asks for them in privileged pods.
  "mount with 'rprivate' should not support propagation": privileged,
  "mount with 'rshared' should support propagation from host to container and vice versa": privileged,
  "mount with 'rslave' should support propagation from host to container": privileged,
  'should support non-recursive readonly mounts': privileged,
  'should support recursive readonly mounts': privileged,
  'should reject a recursive readonly mount with PROPAGATION_HOST_TO_CONTAINER': privileged,
  'should reject a recursive readonly mount with PROPAGATION_BIDIRECTIONAL': privileged,
  'should reject a recursive readonly mount with ReadOnly: false': privileged,
  'runtime should support Privileged is true': privileged,
  'runtime should ignore a seccomp profile that blocks setting hostname when privileged': privileged,
  // It needs no privilege for what it shows, but asks for it.
  'should terminate with exitCode 137 and reason OOMKilled': privileged,
  'runtime should support portforward in host network': host('network'),
  'runtime should support HostNetwork is true': host('network'),
  'runtime should support HostPID': host('PID namespace'),
  'runtime should support HostIpc is true': host('IPC namespace'),
};

/** Judges the tests of a report. */
export function judge(specs: readonly SpecReport[]): PublicVerdict[] {
  return specs.filter(({ LeafNodeType }) => LeafNodeType === 'It').map(verdictOf);
}

function verdictOf({ ContainerHierarchyTexts, LeafNodeText, State, Failure }: SpecReport): PublicVerdict {
  const name = [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(' ');
  const said = Failure?.Message ?? '';
  const wanted = publicRefusals[LeafNodeText];
  if (State === 'skipped' || State === 'pending') return { name, word: 'skipped', reason: said };
  if (State === 'passed')
    return wanted === undefined
      ? { name, word: 'passed', reason: '' }
      : { name, word: 'failed', reason: 'it passes, but is listed as what cannot work' };
  const refusal = wanted?.exec(said)?.[0];
  return refusal === undefined
    ? { name, word: 'failed', reason: said }
    : { name, word: 'refused', reason: refusal };
}

if (import.meta.main) {
  const [suite] = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as [{ SpecReports: SpecReport[] }];
  const verdicts = judge(suite.SpecReports);
  for (const { name, word, reason } of verdicts) {
    console.log(`${word.padEnd(8)} ${name}`);
    if (reason !== '' && word !== 'skipped') console.log(`         ${reason}`);
  }
  const count = (word: PublicVerdict['word']) => verdicts.filter((each) => each.word === word).length;
  console.log(
    `${count('passed')} passed, ${count('refused')} refused as listed, ${count('failed')} failed, ${count('skipped')} skipped`,
  );
  process.exitCode = count('failed') > 0 ? 1 : 0;
}
