/** `skiff conformance`: judges any CRI runtime by its answers. */
import { SkiffError } from '#foundation/base/errors.ts';
import { runConformance, textReporter } from '../../../conformance/cri/index.ts';
import { type Context, requireRoot } from '../context.ts';

/** Prints a line for each rule, and fails if one is broken that the table of differences does not explain. */
export async function run(context: Context, options: { endpoint?: string; only?: string }): Promise<void> {
  requireRoot('conformance', "to use a runtime's socket");
  const endpoint = options.endpoint ?? `unix://${context.paths.criSocket}`;
  const reporter = textReporter((line) => void context.out.write(`${line}\n`));
  const summary = await runConformance({ endpoint, only: options.only, reporter });
  const { runtime, passed, failed, skipped, differs } = summary;
  context.out.write(
    `${runtime.name} ${runtime.version}: ${passed} passed, ${failed} failed, ${differs} differ, ${skipped} skipped\n`,
  );
  if (failed > 0) throw new SkiffError('FAILED_PRECONDITION', `${failed} rules are broken`);
}
