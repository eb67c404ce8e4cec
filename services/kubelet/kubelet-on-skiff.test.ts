/** The tests of `kubelet.test.ts` on Skiff's own CRI server. */
process.env.TESTED_RUNTIME = 'skiff';
await import('./kubelet.test.ts');
