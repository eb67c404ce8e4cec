/**
 * `npm run build`: bundles the CLI and the programs it starts into `dist/`, so that a start costs about 30 ms
 * less than from the sources. The launcher prefers the bundle while no source is newer.
 */
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

rmSync('dist', { recursive: true, force: true });
await build({
  entryPoints: { skiff: 'apps/cli/main.ts', 'unpack-worker': 'services/cri-server/images/unpack/worker.ts' },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  platform: 'node',
  target: 'node26',
  format: 'esm',
  external: ['koffi'],
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
