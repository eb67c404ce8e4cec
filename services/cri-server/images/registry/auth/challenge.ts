/** The WWW-Authenticate header (RFC 9110, section 11.6.1), as registries send it. */

/** One way in that a server offers. */
export interface Challenge {
  /** Lower case: `basic`, `bearer`. */
  scheme: string;
  /** Names in lower case: `realm`, `service`, `scope`, `error`. */
  parameters: Record<string, string>;
}

/** A token, or a quoted string with backslash escapes. */
const parameter = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))/;
const schemeName = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s+|$|(?=,))/;

/** Parses all challenges of a response, in their order; what cannot be read is left out. */
export function parseChallenges(header: string | string[] | undefined): Challenge[] {
  const lines = header === undefined ? [] : Array.isArray(header) ? header : [header];
  return lines.flatMap(parseLine);
}

function parseLine(line: string): Challenge[] {
  const challenges: Challenge[] = [];
  let rest = line.slice(0, 8192);
  for (;;) {
    rest = rest.replace(/^[\s,]+/, '');
    if (rest === '') return challenges;
    const pair = parameter.exec(rest);
    const current = challenges.at(-1);
    if (pair !== null && current !== undefined) {
      const quoted = pair[2]?.replace(/\\(.)/g, '$1');
      current.parameters[(pair[1] ?? '').toLowerCase()] = quoted ?? pair[3] ?? '';
      rest = rest.slice(pair[0].length);
      continue;
    }
    const scheme = schemeName.exec(rest);
    if (pair !== null || scheme === null) return challenges;
    challenges.push({ scheme: (scheme[1] ?? '').toLowerCase(), parameters: {} });
    rest = rest.slice(scheme[0].length);
  }
}
