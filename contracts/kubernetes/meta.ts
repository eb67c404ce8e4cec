/** What every object's kind, name and times have in common. */
import type { KubeObject } from './types.ts';

/** A kind within an API group and version; the core group is the empty string. */
export interface GroupVersionKind {
  group: string;
  version: string;
  kind: string;
}

/** Splits `apps/v1` or `v1`. */
export function groupVersion(apiVersion: string): { group: string; version: string } {
  const slash = apiVersion.indexOf('/');
  if (slash < 0) return { group: '', version: apiVersion };
  return { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

/** `apps/v1`, or `v1` for the core group. */
export function apiVersionOf({ group, version }: { group: string; version: string }): string {
  return group === '' ? version : `${group}/${version}`;
}

/** The kind that an object says it is. */
export function kindOf(object: Pick<KubeObject, 'apiVersion' | 'kind'>): GroupVersionKind {
  return { ...groupVersion(object.apiVersion ?? ''), kind: object.kind ?? '' };
}

/** A time as objects carry it: RFC 3339 in UTC, to the second. @param ms milliseconds since the epoch. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** A MicroTime: RFC 3339 in UTC with six decimals. @param ms milliseconds since the epoch. */
export function formatMicroTime(ms: number): string {
  const micros = Math.floor((ms - Math.floor(ms)) * 1000);
  return `${new Date(ms).toISOString().slice(0, 23)}${String(micros).padStart(3, '0')}Z`;
}

/** Characters that cannot make a word, so that names do not say anything by accident. */
const nameLetters = 'bcdfghjklmnpqrstvwxz2456789';
/** The longest base of a generated name: 63 less the five random letters. */
const maxGeneratedBase = 58;

/** A name for `generateName`: the base, cut if need be, and five letters. @param random in [0, 1). */
export function generateName(base: string, random: () => number = Math.random): string {
  const letters = Array.from({ length: 5 }, () => nameLetters[Math.floor(random() * nameLetters.length)]);
  return base.slice(0, maxGeneratedBase) + letters.join('');
}
