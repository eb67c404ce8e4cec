/** The name rules of Kubernetes with the words the original uses. Each returns what is wrong; empty for fine. */

const dns1123 = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const labelPattern = new RegExp(`^${dns1123}$`);
const subdomainPattern = new RegExp(`^${dns1123}(\\.${dns1123})*$`);
const qualifiedPattern = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const labelValuePattern = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

function tooLong(max: number): string {
  return `must be no more than ${max} bytes`;
}

function regexWords(message: string, pattern: string, ...examples: string[]): string {
  const shown = examples.map((example) => `e.g. '${example}'`);
  const words = examples.map((example) => `'${example}'`).join(',  or ');
  const list = shown.length === 1 ? shown[0] : `e.g. ${words}`;
  return `${message} (${list}, regex used for validation is '${pattern}')`;
}

/** A lowercase RFC 1123 label: container and namespace names. */
export function dnsLabelProblems(value: string): string[] {
  const problems = value.length > 63 ? [tooLong(63)] : [];
  if (!labelPattern.test(value)) {
    problems.push(
      regexWords(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
        dns1123,
        'my-name',
        '123-abc',
      ),
    );
  }
  return problems;
}

/** A lowercase RFC 1123 subdomain: the names of most objects. */
export function dnsSubdomainProblems(value: string): string[] {
  const problems = value.length > 253 ? [tooLong(253)] : [];
  if (!subdomainPattern.test(value)) {
    problems.push(
      regexWords(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        `${dns1123}(\\.${dns1123})*`,
        'example.com',
      ),
    );
  }
  return problems;
}

/** `prefix/name` or `name`: keys of labels and annotations, resource names, finalizers. */
export function labelKeyProblems(value: string): string[] {
  const parts = value.split('/');
  const name = parts.at(-1) ?? '';
  const problems: string[] = [];
  if (parts.length > 2) return [`a qualified name ${qualifiedWords('must consist')}`];
  if (parts.length === 2) {
    const prefix = parts[0] ?? '';
    if (prefix === '') problems.push('prefix part must be non-empty');
    else problems.push(...dnsSubdomainProblems(prefix).map((problem) => `prefix part ${problem}`));
  }
  if (name === '') problems.push('name part must be non-empty');
  else if (name.length > 63) problems.push(`name part ${tooLong(63)}`);
  if (!qualifiedPattern.test(name)) problems.push(`name part ${qualifiedWords('must consist')}`);
  return problems;
}

function qualifiedWords(verb: string): string {
  return regexWords(
    `${verb} of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character`,
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]',
    'MyName',
    'my.name',
    '123-abc',
  );
}

/** A label's value; empty is fine. */
export function labelValueProblems(value: string): string[] {
  const problems = value.length > 63 ? [tooLong(63)] : [];
  if (!labelValuePattern.test(value)) {
    problems.push(
      regexWords(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?',
        'MyValue',
        'my_value',
        '12345',
      ),
    );
  }
  return problems;
}

/** Keys of ConfigMaps and Secrets: they become file names. */
export function dataKeyProblems(value: string): string[] {
  const problems = value.length > 253 ? [tooLong(253)] : [];
  if (!/^[-._a-zA-Z0-9]+$/.test(value)) {
    problems.push(
      regexWords(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        '[-._a-zA-Z0-9]+',
        'key.name',
        'KEY_NAME',
        'key-name',
      ),
    );
  }
  if (value === '.') problems.push("must not be '.'");
  else if (value === '..') problems.push("must not be '..'");
  else if (value.startsWith('..')) problems.push("must not start with '..'");
  return problems;
}

/** Names of environment variables, relaxed since 1.32: any printable ASCII except `=`. */
export function envVarNameProblems(value: string): string[] {
  const problems: string[] = [];
  if (!/^[ -<>-~]+$/.test(value)) {
    problems.push(
      "a valid environment variable name must consist only of printable ASCII characters other than '='",
    );
  }
  return problems;
}

/** Names that become one part of a path: most cluster kinds' names are also checked so. */
export function pathSegmentProblems(value: string): string[] {
  if (value === '.' || value === '..') return [`may not be '${value}'`];
  return ['/', '%'].filter((bad) => value.includes(bad)).map((bad) => `may not contain '${bad}'`);
}

/** Names of ports (IANA service names). */
export function portNameProblems(value: string): string[] {
  const problems: string[] = [];
  if (value.length > 15) problems.push('must be no more than 15 characters');
  if (!/^[a-z0-9-]+$/.test(value))
    problems.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(value)) problems.push('must contain at least one letter (a-z)');
  if (value.includes('--')) problems.push('must not contain consecutive hyphens');
  if (value.startsWith('-') || value.endsWith('-')) problems.push('must not begin or end with a hyphen');
  return problems;
}

/** A port number that can be listened at. */
export function portNumberProblems(value: number): string[] {
  return value >= 1 && value <= 65535 ? [] : ['must be between 1 and 65535, inclusive'];
}
