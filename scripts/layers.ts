/**
 * Checks what the compiler and the linter cannot: imports point down only, only `foundation/linux` touches
 * the kernel, and no file is longer than 400 lines. Part of `npm run check`.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const maxLines = 400;

/** Lower layers first: a file may import from its own layer's unit and from any layer before it. */
const layers = ['foundation', 'contracts', 'services', 'apps'];

/** Folders that may import anything: they judge the rest from outside. */
const outside = ['bench', 'conformance', 'scripts', 'test'];

/** Modules that touch the kernel or start processes; only foundation/linux may import them. */
const kernelModules = ['node:child_process', 'koffi', 'node:ffi'];

/** Within the foundation, who may import whom. */
const foundationOrder: Record<string, string[]> = {
  base: [],
  linux: ['base'],
  grpc: ['base'],
  stream: ['base'],
};

function trackedSources(): string[] {
  const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts'], { encoding: 'utf8' });
  return listed.split('\n').filter((path) => path !== '' && !path.endsWith('_pb.ts') && existsSync(path));
}

function importsOf(path: string, text: string): string[] {
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)import\s*['"]([^'"]+)['"]/g,
  );
  return [...found].map((match) => resolveImport(path, match[1] ?? match[2] ?? match[3] ?? ''));
}

function resolveImport(from: string, specifier: string): string {
  if (specifier.startsWith('#')) return specifier.slice(1);
  if (specifier.startsWith('.')) return relative('.', join(dirname(from), specifier));
  return specifier;
}

/** The unit that must not import its siblings: a service, an app, a part of the foundation. */
function unitOf(path: string): string {
  return path.split('/').slice(0, 2).join('/');
}

function judge(from: string, to: string): string | undefined {
  const layer = from.split('/')[0] ?? '';
  if (
    kernelModules.includes(to) &&
    layer !== 'foundation' &&
    !outside.includes(layer) &&
    !from.endsWith('.test.ts')
  )
    return `imports ${to}, which only foundation/linux may`;
  const target = to.split('/')[0] ?? '';
  if (outside.includes(layer) || from.endsWith('.test.ts')) return undefined;
  // The conformance suite is a product too: `skiff conformance`.
  if (layer === 'apps' && target === 'conformance') return undefined;
  if (outside.includes(target)) return `imports ${to}, which is for tests and tools`;
  const rank = layers.indexOf(layer);
  const targetRank = layers.indexOf(target);
  if (rank < 0 || targetRank < 0 || unitOf(from) === unitOf(to)) return undefined;
  if (targetRank > rank) return `imports ${to}, which is a layer above it`;
  if (layer === 'services' && target === 'services') return `imports ${to}: services talk over sockets only`;
  if (layer === 'foundation' && target === 'foundation') return judgeFoundation(from, to);
  return undefined;
}

function judgeFoundation(from: string, to: string): string | undefined {
  const allowed = foundationOrder[from.split('/')[1] ?? ''] ?? ['base'];
  return allowed.includes(to.split('/')[1] ?? '') ? undefined : `imports ${to}, which is beside or above it`;
}

const problems: string[] = [];
for (const path of trackedSources()) {
  const text = readFileSync(path, 'utf8');
  const lines = text.split('\n').length - 1;
  if (lines > maxLines) problems.push(`${path}: ${lines} lines, ${maxLines} at the most`);
  for (const to of importsOf(path, text)) {
    const problem = judge(path, to);
    if (problem !== undefined) problems.push(`${path}: ${problem}`);
  }
}
for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? 'layers: fine' : `layers: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
