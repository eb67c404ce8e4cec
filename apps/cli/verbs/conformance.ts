/** `skiff conformance`: judges any CRI runtime by its answers. */
import { SkiffError } from '#foundation/base/errors.ts';
import { runConformance, textReporter } from '../../../conformance/cri/index.ts';
import { type Context, requireRoot } from '../context.ts';

/** What the command line may say. */
interface ConformanceFlags {
  endpoint?: string;
  only?: string;
  handler?: string;
  patience?: string;
  atOnce?: string;
}

/** Prints a line for each rule, and fails if one is broken that the table of differences does not explain. */
export async function run(context: Context, options: ConformanceFlags): Promise<void> {
  requireRoot('conformance', "to use a runtime's socket");
  const endpoint = options.endpoint ?? `unix://${context.paths.criSocket}`;
  const reporter = textReporter((line) => void context.out.write(`${line}\n`));
  const summary = await runConformance({
    endpoint,
    only: options.only,
    reporter,
    handler: options.handler,
    patience: positive('--patience', options.patience),
    concurrency: positive('--at-once', options.atOnce),
  });
  const { runtime, passed, failed, skipped, differs } = summary;
  context.out.write(
    `${runtime.name} ${runtime.version}: ${passed} passed, ${failed} failed, ${differs} differ, ${skipped} skipped\n`,
  );
  if (failed > 0) throw new SkiffError('FAILED_PRECONDITION', `${failed} rules are broken`);
}

function positive(name: string, text: string | undefined): number | undefined {
  const number = text === undefined ? undefined : Number(text);
  if (number === undefined || number > 0) return number;
  throw new SkiffError('INVALID_ARGUMENT', `${name} must be a number above 0, not "${text}"`);
}
