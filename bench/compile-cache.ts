/** Where the launcher has V8's compiled sources kept between starts: NODE_COMPILE_CACHE of what the benches start. */
export const compileCache = new URL('../node_modules/.cache/compile', import.meta.url).pathname;
