/**
 * Where a kubelet keeps a certificate that the cluster gave it, as the original does: each in a file of its own with
 * its key, `NAME-current.pem` a link to the one in use, and the key of a request under way in `NAME.key.tmp`.
 */
import { X509Certificate } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFileSync } from '#foundation/base/files.ts';
import { newKey } from './key.ts';

/** A certificate and its key, PEM. */
export interface Identity {
  cert: string;
  key: string;
}

/** The certificates of one use. */
export interface CertificateStore {
  /** The file that always holds the one in use. */
  readonly currentPath: string;
  /** The one in use; undefined if there is none that can be read. */
  current(): Identity | undefined;
  /** The key for the next request; the same until `save`, also after a restart. */
  pendingKey(): string;
  /** Forgets the pending key: what was asked for with it will not come. */
  dropPending(): void;
  /** Takes a certificate for the pending key into use. @param now milliseconds since the epoch. */
  save(cert: string, key: string, now: number): void;
}

/** Certificates that are kept beside the one in use. */
const keptBehind = 1;

/** Opens the store. @param name `kubelet-client` or `kubelet-server`. */
export function openCertificates(directory: string, name: string): CertificateStore {
  const currentPath = join(directory, `${name}-current.pem`);
  const pendingPath = join(directory, `${name}.key.tmp`);
  return {
    currentPath,
    current: () => readIdentity(currentPath),
    pendingKey: () => {
      const kept = readQuietly(pendingPath);
      // After a crash just behind the last `save` the key is that of the certificate in use.
      if (kept?.includes('PRIVATE KEY') && kept !== readIdentity(currentPath)?.key) return kept;
      mkdirSync(directory, { recursive: true, mode: 0o755 });
      const key = newKey();
      replaceFileSync(pendingPath, key);
      return key;
    },
    dropPending: () => rmSync(pendingPath, { force: true }),
    save: (cert, key, now) => {
      mkdirSync(directory, { recursive: true, mode: 0o755 });
      const file = `${name}-${timeText(now)}.pem`;
      replaceFileSync(join(directory, file), `${cert.trimEnd()}\n${key}`);
      // A link is replaced by renaming another onto it: there is always one.
      const next = `${currentPath}.tmp`;
      rmSync(next, { force: true });
      symlinkSync(file, next);
      renameSync(next, currentPath);
      rmSync(pendingPath, { force: true });
      removeOld(directory, name, file);
    },
  };
}

/** `2026-11-21-13-05-59-042`, so that names sort by age. */
function timeText(now: number): string {
  return new Date(now).toISOString().slice(0, 23).replace(/[T:.]/g, '-');
}

function removeOld(directory: string, name: string, current: string): void {
  const pattern = new RegExp(`^${name}-\\d{4}-[-\\d]+\\.pem$`);
  const old = readdirSync(directory).filter((each) => pattern.test(each) && each !== current);
  for (const each of old.sort().slice(0, -keptBehind)) rmSync(join(directory, each), { force: true });
}

function readQuietly(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function readIdentity(path: string): Identity | undefined {
  const text = readQuietly(path) ?? '';
  const key = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]+?-----END [A-Z ]*PRIVATE KEY-----\n?/.exec(text)?.[0];
  if (key === undefined) return undefined;
  const cert = text.replace(key, '');
  try {
    new X509Certificate(cert);
    return { cert, key };
  } catch {
    return undefined;
  }
}
