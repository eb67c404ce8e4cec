/** The loopback plugin: brings `lo` up. https://www.cni.dev/plugins/current/main/loopback/ */
import { z } from 'zod';
import { getLink, loopbackIndex, setLink } from '#foundation/linux/links.ts';
import { inNamespaces } from '#foundation/linux/namespaces.ts';
import { openNetlink } from '#foundation/linux/netlink.ts';
import { type CniResult, resultIn } from '../cni/types.ts';
import { commonKeys, differs, type NativePlugin } from './native.ts';

const schema = z.strictObject(commonKeys);

/** The plugin; it ignores the interface name, as the executed one does. */
export const loopback: NativePlugin = {
  supports: (config) => schema.safeParse(config).success,
  async add({ config, netns }): Promise<CniResult> {
    using socket = inNamespaces({ net: netns }, () => openNetlink());
    setLink(socket, loopbackIndex, { up: true });
    if (config.prevResult !== undefined) return config.prevResult;
    return resultIn(config.cniVersion, {
      cniVersion: config.cniVersion,
      interfaces: [{ name: 'lo', mac: '00:00:00:00:00:00', sandbox: netns }],
      ips: [
        { interface: 0, address: '127.0.0.1/8' },
        { interface: 0, address: '::1/128' },
      ],
      dns: {},
    });
  },
  async delete({ netns }) {
    if (netns === '') return;
    using socket = inNamespaces({ net: netns }, () => openNetlink());
    setLink(socket, loopbackIndex, { up: false });
  },
  async check(call) {
    using socket = inNamespaces({ net: call.netns }, () => openNetlink());
    if (!getLink(socket, loopbackIndex).up) throw differs(call, 'the loopback interface is down');
  },
};
