/** A rule of the CRI, as a test: its name says what must hold. */
import type { Context } from './context.ts';

/** One rule. */
export interface Rule {
  /** The area's name: `containers`. */
  area: string;
  /** What must hold, as a sentence; unique in its area. */
  name: string;
  /** True if nothing else may run on the server meanwhile. */
  alone: boolean;
  /** Milliseconds it may take. */
  timeoutMs: number;
  /** Throws if the rule does not hold. */
  check: (context: Context) => Promise<void>;
}

/** How a rule differs from the usual. */
export interface RuleOptions {
  alone?: boolean;
  /** 60,000 unless told. */
  timeoutMs?: number;
}

/** Adds a rule to its area. */
export type AddRule = (name: string, check: Rule['check'], options?: RuleOptions) => void;

/** Collects an area's rules. */
export function area(name: string, define: (rule: AddRule) => void): Rule[] {
  const rules: Rule[] = [];
  define((rule, check, { alone = false, timeoutMs = 60_000 } = {}) => {
    rules.push({ area: name, name: rule, alone, timeoutMs, check });
  });
  return rules;
}

/** Thrown by a check whose precondition this machine or runtime does not meet. */
export class Skipped extends Error {}
