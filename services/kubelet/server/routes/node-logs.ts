/** /logs: files below /var/log, for people without a shell on the node. */
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { SkiffError } from '#foundation/base/errors.ts';
import { holdBeneath } from '#foundation/linux/beneath.ts';
import { sendText } from '../answers.ts';
import type { Exchange, Route } from '../router.ts';

/** The routes for the files below `root`. */
export function nodeLogRoutes(root: string): Route[] {
  return [{ methods: ['GET'], path: '/logs/*', handle: (exchange) => serve(root, exchange) }];
}

async function serve(root: string, { params, response }: Exchange): Promise<void> {
  // Links inside /var/log are followed, links out of it are refused by the kernel.
  using held = holdBeneath(root, decodeURIComponent(params['*'] ?? '') || '.');
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
