/** /logs: files below /var/log, for people without a shell on the node. */
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { errnoOf, isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { holdBeneath } from '#foundation/linux/beneath.ts';
import { sendText } from '../answers.ts';
import type { Exchange, Route } from '../router.ts';
import { type Journal, narrowingArguments } from './node-journal.ts';

/** The routes for the files below `root`. @param journal answers `?query=` (`enableSystemLogQuery`); else unheeded. */
export function nodeLogRoutes(root: string, journal?: Journal): Route[] {
  const handle = (exchange: Exchange) =>
    journal !== undefined && exchange.url.searchParams.has('query')
      ? answerQuery(root, journal, exchange)
      : serve(root, pathOf(exchange), exchange);
  return [{ methods: ['GET'], path: '/logs/*', handle }];
}

/** @throws SkiffError INVALID_ARGUMENT for what cannot be decoded. */
function pathOf({ params }: Exchange): string {
  const encoded = params['*'] ?? '';
  try {
    return decodeURIComponent(encoded) || '.';
  } catch {
    throw new SkiffError('INVALID_ARGUMENT', `Cannot read the log: "${encoded}" is no encoded path`);
  }
}

/**
 * Node log query (kubernetes.io/docs: Log query): one file below /var/log, or services by the names of their units.
 * Services that the journal does not know may log into one of the usual files, which are read as a whole.
 */
async function answerQuery(root: string, journal: Journal, exchange: Exchange): Promise<void> {
  const { searchParams } = exchange.url;
  const asked = searchParams.getAll('query');
  const narrowing = narrowingArguments(searchParams);
  const [file] = asked.filter((each) => each.includes('/'));
  if (file !== undefined) {
    if (asked.length > 1 || narrowing.length > 0)
      throw new SkiffError('INVALID_ARGUMENT', 'Cannot answer the log query: a file is read alone and whole');
    const path = file.replace(/^\/+/, '');
    if (await isThere(root, path)) return serve(root, path, exchange);
    throw new SkiffError('NOT_FOUND', `there is no log "${file}"`);
  }
  const wrong = asked.find((each) => !/^[a-zA-Z0-9@_:.-]{1,256}$/.test(each));
  if (wrong !== undefined)
    throw new SkiffError('INVALID_ARGUMENT', `Cannot answer the log query: "${wrong}" is no service or file`);
  const known = await Promise.all(asked.map((service) => journal.has(service)));
  const [unknown] = asked.filter((_, index) => known[index] !== true);
  if (unknown === undefined) {
    const signal = AbortSignal.timeout(60_000);
    return sendText(exchange.response, (await journal.read(asked, narrowing, signal)).toString());
  }
  const usual = [`${unknown}.log`, `${unknown}/${unknown}.log`, unknown];
  for (const each of usual) {
    if (!(await isThere(root, each))) continue;
    if (asked.length === 1 && narrowing.length === 0) return serve(root, each, exchange);
    const message = `Cannot narrow the log of "${unknown}" down, or join it with others: it is in a file`;
    throw new SkiffError('UNIMPLEMENTED', `${message}, and only the journal can`);
  }
  const places = `neither the journal nor ${usual.join(', ')} below ${root}`;
  throw new SkiffError('NOT_FOUND', `there is no log of service "${unknown}": ${places}`);
}

async function isThere(root: string, path: string): Promise<boolean> {
  try {
    using held = holdBeneath(root, path);
    return (await stat(held.path)).isFile();
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND') || errnoOf(error) === 'ENOTDIR') return false;
    throw error;
  }
}

async function serve(root: string, path: string, { response }: Exchange): Promise<void> {
  // Links inside /var/log are followed, links out of it are refused by the kernel.
  using held = holdBeneath(root, path);
  const status = await stat(held.path);
  if (status.isDirectory()) {
    const entries = await readdir(held.path, { withFileTypes: true });
    const names = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort();
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    response.end(`<pre>\n${names.map(link).join('')}</pre>\n`);
    return;
  }
  if (!status.isFile()) throw new SkiffError('NOT_FOUND', 'only regular files can be read');
  if (status.size === 0) {
    sendText(response, '');
    return;
  }
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'content-length': status.size });
  // Not past the size that was promised: the file may grow meanwhile.
  await pipeline(createReadStream(held.path, { end: status.size - 1 }), response);
}

function link(name: string): string {
  const escaped = name.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<a href="${encodeURIComponent(name).replace('%2F', '/')}">${escaped}</a>\n`;
}
