/**
 * UpdateRuntimeConfig tells the addresses that the cluster gave this node's pods. As with containerd, a template of CNI
 * configuration is filled with them while there is no configuration yet. Without a template the configuration that
 * Skiff wrote for itself takes them over, unless somebody changed it or pods live by it. Any other stays as it is.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import { numberAddress, parseNetwork } from '#foundation/base/ip.ts';
import type { Logger } from '#foundation/base/log.ts';
import { parseConfig } from './cni/config.ts';
import { defaultFile, defaultText } from './default-config.ts';
import type { PodNetwork } from './index.ts';
import { fillTemplate } from './template.ts';

/** What taking note of addresses needs. */
export interface PodCidrDeps {
  configDir: string;
  /** Path of the template. */
  template?: string;
  /** What the configuration of Skiff's own is made with; left out if none is written. */
  own?: { dataDir: string; tag: string; removeBridge(): void };
  network: Pick<PodNetwork, 'current' | 'refresh'>;
  /** Whether a pod has an address. */
  inUse(): boolean;
  log: Logger;
}

/**
 * Takes note of the pods' addresses.
 *
 * @param podCidr one network, or one of each family with a comma between; empty says nothing.
 * @throws SkiffError INVALID_ARGUMENT for what are no networks, FAILED_PRECONDITION for a template that cannot be used.
 */
export function applyPodCidr(deps: PodCidrDeps, podCidr: string): void {
  if (podCidr === '') return;
  const networks = podCidr.split(',').map((text) => parseNetwork(text.trim()));
  const cidrs = networks.map(({ base, family, prefix }) => `${numberAddress(base, family)}/${prefix}`);
  deps.network.refresh();
  if (deps.template !== undefined) fromTemplate(deps, deps.template, cidrs);
  else
    takeOver(
      deps,
      cidrs.find((cidr) => !cidr.includes(':')),
    );
}

function fromTemplate({ configDir, network, log }: PodCidrDeps, template: string, cidrs: string[]): void {
  if (network.current().list !== undefined) return;
  const path = join(configDir, defaultFile);
  try {
    const text = fillTemplate(readFileSync(template, 'utf8'), {
      PodCIDR: cidrs[0] ?? '',
      PodCIDRRanges: cidrs,
      Routes: cidrs.map((cidr) => (cidr.includes(':') ? '::/0' : '0.0.0.0/0')),
    });
    parseConfig(text, template);
    replaceFileSync(path, text, { mode: 0o644 });
  } catch (error) {
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `Cannot make a CNI configuration of the template ${template}: ${messageOf(error)}`,
      { cause: error },
    );
  }
  network.refresh();
  log.info({ file: path, cidrs }, 'a CNI configuration was made of the template');
}

/** @param subnet the IPv4 one; the IPv6 network stays Skiff's own. */
function takeOver({ configDir, own, network, inUse, log }: PodCidrDeps, subnet: string | undefined): void {
  const path = join(configDir, defaultFile);
  if (own === undefined || subnet === undefined || network.current().file !== path) return;
  const old = subnetIn(path);
  if (old === undefined || old === subnet) return;
  if (readFileSync(path, 'utf8') !== defaultText(own.tag, own.dataDir, old)) return;
  if (inUse()) {
    log.warn(
      { file: path, subnet: old, wanted: subnet },
      'pods live in another network than the node is given',
    );
    return;
  }
  // With the old gateway's address the bridge would refuse the new one.
  own.removeBridge();
  replaceFileSync(path, defaultText(own.tag, own.dataDir, subnet), { mode: 0o644 });
  network.refresh();
  log.info({ file: path, subnet }, 'pods get the addresses that the node is given');
}

function subnetIn(path: string): string | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).plugins[0].ipam.ranges[0][0].subnet;
  } catch {
    return undefined;
  }
}
