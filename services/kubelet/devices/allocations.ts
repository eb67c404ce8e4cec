/** Which devices each container was given, kept on disk so that a restart of the kubelet gives nothing away twice. */
import { existsSync, readFileSync } from 'node:fs';
import { fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import {
  type ContainerAllocateResponse,
  ContainerAllocateResponseSchema,
} from '#contracts/device-plugin/device-plugin_pb.ts';
import { wrapError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';

/** Devices of one resource that a container was given. */
export interface Allocation {
  podUid: string;
  container: string;
  resource: string;
  ids: readonly string[];
  /** What the plugin said: devices, mounts, variables for the container. */
  response: ContainerAllocateResponse;
}

/** All allocations. */
export interface Allocations {
  all(): readonly Allocation[];
  add(allocation: Allocation): void;
  /** Gives back what the pods that are not in the set had. */
  retain(podUids: ReadonlySet<string>): void;
}

const version = 1;

interface Stored {
  version: number;
  entries: (Omit<Allocation, 'response'> & { response: JsonValue })[];
}

/** Opens the allocations kept at `path`. */
export function openAllocations(path: string): Allocations {
  let entries: Allocation[] = existsSync(path) ? load(path) : [];
  const save = () => {
    const stored: Stored = {
      version,
      entries: entries.map((entry) => ({
        ...entry,
        response: toJson(ContainerAllocateResponseSchema, entry.response),
      })),
    };
    replaceFileSync(path, JSON.stringify(stored));
  };
  return {
    all: () => entries,
    add(allocation) {
      entries.push(allocation);
      save();
    },
    retain(podUids) {
      const kept = entries.filter(({ podUid }) => podUids.has(podUid));
      if (kept.length === entries.length) return;
      entries = kept;
      save();
    },
  };
}

function load(path: string): Allocation[] {
  const stored = readStored(path);
  if (stored.version !== version) return [];
  return stored.entries.map((entry) => ({
    ...entry,
    response: fromJson(ContainerAllocateResponseSchema, entry.response),
  }));
}

/** @throws SkiffError INTERNAL for a damaged file: whoever forgot devices that are in use would give them away twice. */
function readStored(path: string): Stored {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Stored;
  } catch (error) {
    throw wrapError(
      error,
      `Cannot read which devices were given away in "${path}" (drain the node and delete the file)`,
    );
  }
}
