/** What is kept on disk of a container: enough to know it again after a restart of the server or the machine. */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type ContainerConfig, ContainerConfigSchema } from '#contracts/cri/runtime_pb.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { ContainerUser } from './spec/user.ts';

/** The version of this shape. */
export const recordVersion = 1;

/** One container's row. */
export interface ContainerRecord {
  id: string;
  sandboxId: string;
  /** The reserved name: see `nameOf`. */
  name: string;
  /** The CRI config of the request (updates of limits included), as protobuf in base64. */
  config: string;
  /** The runtime handler's name. */
  runtime: string;
  /** The image as it was called when the container was made; it may be gone since. */
  image: { id: string; ref: string; name: string };
  /** Ids of the images of its image volumes, by their index in `config.mounts`. */
  volumeImages?: Record<number, string>;
  /** Nanoseconds since the epoch. */
  createdAt: bigint;
  /** Absolute; empty for none. */
  logPath: string;
  user: ContainerUser;
  /** Signal number that StopContainer sends. */
  stopSignal: number;
  /** The group in every cgroup hierarchy. */
  cgroupPath: string;
  /** Whether other processes share its PID namespace, so that the end of its first leaves the others. */
  sharesPids: boolean;
  life: Lifecycle;
}

/** Puts a config into a record. */
export function encodeConfig(config: ContainerConfig): string {
  return Buffer.from(toBinary(ContainerConfigSchema, config)).toString('base64');
}

/** Takes the config out of a record. */
export function decodeConfig(text: string): ContainerConfig {
  return fromBinary(ContainerConfigSchema, Buffer.from(text, 'base64'));
}
