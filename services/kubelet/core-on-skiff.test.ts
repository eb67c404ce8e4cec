/** The tests of `core.test.ts` on Skiff's own CRI server. */
process.env.TESTED_RUNTIME = 'skiff';
await import('./core.test.ts');
