/**
 * The guest's kernel and initial file system: made once of Debian's packages and our PID 1, kept in a directory named by
 * their content. See build.ts.
 */

/** A guest that a hypervisor can boot. */
export interface GuestImage {
  /** Names the content: two images with one digest are the same. */
  digest: string;
  /** An uncompressed kernel with a PVH entry (ELF vmlinux, without symbols): boots quicker. */
  vmlinuxPath: string;
  /** The same for an emulated processor: it boots in three quarters of the time (emulation.ts). */
  emulatedVmlinuxPath: string;
  /** The kernel as Debian packs it, for hypervisors that want a bzImage. */
  bzImagePath: string;
  /** An uncompressed cpio archive. */
  initrdPath: string;
  /** `6.1.0-56-cloud-amd64`. */
  kernelVersion: string;
  /**
   * Kernel parameters that the guest needs whatever the hypervisor; the driver adds its own (console,
   * tsc_early_khz, pcie_ports).
   */
  kernelParameters: readonly string[];
}

/** The name of the virtio-serial port that the agent listens on. */
export const agentPortName = 'skiff.agent';
