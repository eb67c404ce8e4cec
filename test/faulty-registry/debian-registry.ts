/** Debian's docker-registry as a real process on loopback, for tests: with or without login and TLS. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '#foundation/base/free-port.ts';

/** How the registry is to run. */
export interface RegistryOptions {
  /** Lines of an htpasswd file (bcrypt). */
  htpasswd?: string;
  /** A token server: its realm, and the file of the certificate that its tokens are signed under. */
  token?: { realm: string; service: string; issuer: string; rootCertBundle: string };
  tls?: { certificate: string; key: string; clientCa?: string };
  /** A free one unless told. */
  port?: number;
}

/** A running registry. */
export interface DebianRegistry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  address: string;
  /** A folder for the test's own files; removed at the end. */
  folder: string;
  /** Ends the process with SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again, with the same address and store. */
  start(): Promise<void>;
}

/** Starts a registry with an empty store and waits until it listens. */
export async function startDebianRegistry(options: RegistryOptions = {}): Promise<DebianRegistry> {
  const folder = mkdtempSync('/tmp/skiff-reg-');
  const port = options.port ?? (await freePort());
  const config = join(folder, 'config.json'); // JSON is YAML.
  if (options.htpasswd !== undefined) writeFileSync(join(folder, 'htpasswd'), options.htpasswd);
  writeFileSync(config, JSON.stringify(configOf(folder, port, options)));
  let child: ChildProcess | undefined;
  const kill = () => stop(child);
  const dispose = async () => {
    await kill();
    rmSync(folder, { recursive: true, force: true });
  };
  const start = async () => {
    const env = { PATH: process.env.PATH, OTEL_TRACES_EXPORTER: 'none' };
    let said = '';
    // It ends with the test's process, also if that is killed.
    const command = ['--pdeathsig', 'KILL', 'docker-registry', 'serve', config];
    const started = spawn('setpriv', command, { stdio: ['ignore', 'ignore', 'pipe'], env });
    child = started;
    started.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk).slice(-4000);
    });
    if (await listens(port, started)) return;
    await dispose();
    throw new Error(`docker-registry does not listen: ${said}`);
  };
  await start();
  return { address: `127.0.0.1:${port}`, folder, kill, start, [Symbol.asyncDispose]: dispose };
}

function configOf(folder: string, port: number, { htpasswd, token, tls }: RegistryOptions): object {
  const auth =
    htpasswd !== undefined
      ? { htpasswd: { realm: 'skiff-test', path: join(folder, 'htpasswd') } }
      : token && {
          token: {
            realm: token.realm,
            service: token.service,
            issuer: token.issuer,
            rootcertbundle: token.rootCertBundle,
          },
        };
  const clientCas = tls?.clientCa === undefined ? {} : { clientcas: [tls.clientCa] };
  return {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, 'data') }, delete: { enabled: true } },
    http: {
      addr: `127.0.0.1:${port}`,
      secret: 'a test',
      ...(tls === undefined ? {} : { tls: { certificate: tls.certificate, key: tls.key, ...clientCas } }),
    },
    ...(auth === undefined ? {} : { auth }),
  };
}

async function listens(port: number, child: ChildProcess): Promise<boolean> {
  for (let tries = 0; tries < 200 && child.exitCode === null; tries += 1) {
    const socket = connect(port, '127.0.0.1');
    const up = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (up) return true;
    await sleep(50);
  }
  return false;
}

async function stop(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
