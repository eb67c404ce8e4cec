/** `$(NAME)` in environment values, commands and arguments (core/v1 EnvVar.value, Container.command). */

/**
 * Replaces `$(NAME)` by what `lookup` knows; `$$` stands for `$`; unknown names stay as they are written.
 *
 * @param lookup undefined for a name that is not known.
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  let result = '';
  let at = 0;
  while (at < text.length) {
    const dollar = text.indexOf('$', at);
    if (dollar < 0 || dollar === text.length - 1) return result + text.slice(at);
    result += text.slice(at, dollar);
    const next = text[dollar + 1];
    const close = next === '(' ? text.indexOf(')', dollar + 2) : -1;
    if (next === '$') {
      result += '$';
      at = dollar + 2;
    } else if (close >= 0) {
      const name = text.slice(dollar + 2, close);
      result += lookup(name) ?? `$(${name})`;
      at = close + 1;
    } else {
      // A lone `$`, or a `$(` that nothing closes: literal.
      result += text.slice(dollar, dollar + 2);
      at = dollar + 2;
    }
  }
  return result;
}

/** Looks names up in a map of variables. */
export function lookupIn(variables: ReadonlyMap<string, string>): (name: string) => string | undefined {
  return (name) => variables.get(name);
}

/**
 * As `expand`, but an unknown name is an error: for subPathExpr, where a leftover would name a wrong directory.
 *
 * @returns the names that are missing instead of a text, if any.
 */
export function expandAll(
  text: string,
  lookup: (name: string) => string | undefined,
): { text: string } | { missing: string[] } {
  const missing: string[] = [];
  const result = expand(text, (name) => {
    const value = lookup(name);
    if (value === undefined) missing.push(name);
    return value;
  });
  return missing.length === 0 ? { text: result } : { missing };
}
