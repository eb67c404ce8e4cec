/** Which proxy a request goes through, by the rules that curl and Go share for NO_PROXY. */
import { BlockList, isIP } from 'node:net';
import { SkiffError } from '#foundation/base/errors.ts';
import { isLoopback } from '../hosts/host.ts';
import type { ProxySettings } from '../types.ts';

/**
 * The proxy for a URL; undefined for a direct connection. Loopback addresses are always direct.
 *
 * @throws SkiffError FAILED_PRECONDITION if the proxy's own address is not a URL of http, https or socks5.
 */
export function proxyFor(url: URL, settings: ProxySettings): string | undefined {
  const proxy = url.protocol === 'http:' ? settings.httpProxy : settings.httpsProxy;
  if (proxy === undefined || proxy === '' || isLoopback(url.host)) return undefined;
  if (isExempt(url, settings.noProxy ?? '')) return undefined;
  const text = /^[a-z0-9]+:\/\//i.test(proxy) ? proxy : `http://${proxy}`;
  if (!URL.canParse(text) || !/^(https?|socks5):$/.test(new URL(text).protocol)) throw badProxy(proxy);
  return text;
}

function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = url.port || (url.protocol === 'http:' ? '80' : '443');
  return list
    .split(',')
    .map((item) => item.trim().toLowerCase())
    .some((item) => item !== '' && matches(item, host, port));
}

function matches(item: string, host: string, port: string): boolean {
  if (item === '*') return true;
  if (item.includes('/')) return inBlock(item, host);
  const [name, itemPort] = splitPort(item);
  if (itemPort !== undefined && itemPort !== port) return false;
  if (isIP(name) !== 0) return name === host;
  if (name.startsWith('*.')) return host.endsWith(name.slice(1));
  return name.startsWith('.') ? host.endsWith(name) : host === name || host.endsWith(`.${name}`);
}

function splitPort(item: string): [string, string | undefined] {
  if (isIP(item) === 6) return [item, undefined];
  const match = /^(.*):(\d+)$/.exec(item);
  const name = (match?.[1] ?? item).replace(/^\[|\]$/g, '');
  return [name, match?.[2]];
}

function inBlock(item: string, host: string): boolean {
  const family = isIP(host);
  const [network = '', bits = ''] = item.split('/');
  if (family === 0 || isIP(network) !== family || !/^\d+$/.test(bits)) return false;
  if (Number(bits) > (family === 4 ? 32 : 128)) return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(network, Number(bits), type);
  return list.check(host, type);
}

/** The address may hold a password, so the message leaves it out. */
function badProxy(proxy: string): SkiffError {
  const shown = proxy.replace(/\/\/[^@/]*@/, '//***@');
  return new SkiffError(
    'FAILED_PRECONDITION',
    `Cannot use proxy "${shown}": it must be like http://host:port, https://host:port or socks5://host:port`,
  );
}
