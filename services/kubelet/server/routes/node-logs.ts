/** /logs: files below /var/log, for people without a shell on the node. */
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { errnoOf, isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { holdBeneath } from '#foundation/linux/beneath.ts';
import { sendText } from '../answers.ts';
import type { Exchange, Route } from '../router.ts';

/** The routes for the files below `root`. @param queries whether `?query=` is heeded (`enableSystemLogQuery`). */
export function nodeLogRoutes(root: string, queries = false): Route[] {
  const handle = (exchange: Exchange) =>
    queries && exchange.url.searchParams.has('query')
      ? answerQuery(root, exchange)
      : serve(root, decodeURIComponent(exchange.params['*'] ?? '') || '.', exchange);
  return [{ methods: ['GET'], path: '/logs/*', handle }];
}

/** What narrows a query down; it needs the journal. */
const narrowing = ['boot', 'pattern', 'sinceTime', 'untilTime', 'tailLines'];

/**
 * Node log query (kubernetes.io/docs: Log query): a file below /var/log, or a service that logs into one of the usual
 * files. Services that log only into the journal are refused with what to do: it is not read here.
 */
async function answerQuery(root: string, exchange: Exchange): Promise<void> {
  const { searchParams } = exchange.url;
  const [query = '', ...more] = searchParams.getAll('query');
  if (query === '' || more.length > 0)
    throw new SkiffError('INVALID_ARGUMENT', 'Cannot answer the log query: name one service or file');
  const option = narrowing.find((each) => searchParams.has(each));
  if (option !== undefined)
    throw new SkiffError(
      'UNIMPLEMENTED',
      `Cannot narrow the log of "${query}" by ${option}: only whole files are read`,
    );
  const isFile = query.includes('/');
  const path = isFile ? query.replace(/^\/+/, '') : query;
  const usual = isFile ? [path] : [`${path}.log`, `${path}/${path}.log`, path];
  for (const each of usual) {
    const found = await isThere(root, each);
    if (found) return serve(root, each, exchange);
  }
  throw isFile
    ? new SkiffError('NOT_FOUND', `there is no log "${query}"`)
    : new SkiffError(
        'UNIMPLEMENTED',
        `Cannot find the log of service "${query}": the journal is not read, and ${root} has none of ${usual.join(', ')}; use journalctl -u ${query} on the node`,
      );
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
