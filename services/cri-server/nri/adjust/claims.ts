/** Who changed what: two plugins must not set the same thing of one container. */
import { create } from '@bufbuild/protobuf';
import {
  CompoundFieldOwnersSchema,
  Field,
  type FieldOwners,
  FieldOwnersSchema,
} from '#contracts/nri/nri_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/** The fields of one container, as one plugin claims them. */
export interface Claims {
  /** @throws SkiffError FAILED_PRECONDITION if another plugin has it. @param key of the entry, for maps and lists. */
  take(field: Field, key?: string): void;
  /** A plugin that removes a thing may take it over, and leaves it to others. */
  release(field: Field, key?: string): void;
}

/** The claims of all plugins on one container. */
export interface ClaimTable {
  by(plugin: string): Claims;
  owners(): FieldOwners;
}

/** An empty table. */
export function claimTable(containerId: string): ClaimTable {
  const owners = create(FieldOwnersSchema);
  const compound = (field: Field) => {
    owners.compound[field] ??= create(CompoundFieldOwnersSchema);
    return owners.compound[field].owners;
  };
  const take = (plugin: string, field: Field, key?: string) => {
    const other = key === undefined ? owners.simple[field] : compound(field)[key];
    if (other !== undefined && other !== plugin)
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `NRI plugins "${other}" and "${plugin}" both set ${nameOf(field)}${key === undefined ? '' : ` "${key}"`} of container ${containerId}; change the configuration of one`,
      );
    if (key === undefined) owners.simple[field] = plugin;
    else compound(field)[key] = plugin;
  };
  return {
    by: (plugin) => ({
      take: (field, key) => take(plugin, field, key),
      release: (field, key) => {
        if (key === undefined) delete owners.simple[field];
        else delete compound(field)[key];
      },
    }),
    owners: () => owners,
  };
}

function nameOf(field: Field): string {
  return Object.entries(Field).find(([, number]) => number === field)?.[0] ?? `field ${field}`;
}
