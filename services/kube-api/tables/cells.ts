/** What the columns of tables show: ages, counts and lists, as kubectl prints them. */

/** A column. */
export interface Column {
  name: string;
  type: 'string' | 'integer' | 'date';
  format?: string;
  description?: string;
  /** 0 is always shown, 1 with `-o wide`. */
  priority: number;
}

/** A column that is always shown. */
export function column(name: string, description = '', type: Column['type'] = 'string'): Column {
  return { name, type, format: name === 'Name' ? 'name' : '', description, priority: 0 };
}

/** A column for `-o wide`. */
export function wide(name: string, description = ''): Column {
  return { name, type: 'string', format: '', description, priority: 1 };
}

/** How long ago a time was, in the two largest units: `5m30s`, `2d`; `<unknown>` without one. */
export function age(time: string | null | undefined, now: number): string {
  if (time === undefined || time === null) return '<unknown>';
  return duration(Math.max(0, Math.floor((now - Date.parse(time)) / 1000)));
}

/** Seconds as kubectl writes durations. */
export function duration(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return withRest(minutes, 'm', seconds % 60, 's');
  if (hours < 3) return `${minutes}m`;
  if (hours < 8) return withRest(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (days < 8) return withRest(days, 'd', hours % 24, 'h');
  if (days < 365 * 2) return `${days}d`;
  return withRest(Math.floor(days / 365), 'y', days % 365, 'd');
}

function withRest(amount: number, unit: string, rest: number, restUnit: string): string {
  return rest === 0 ? `${amount}${unit}` : `${amount}${unit}${rest}${restUnit}`;
}

/** `a,b,c`, or `<none>`. */
export function joined(items: readonly (string | undefined)[] | undefined): string {
  const present = (items ?? []).filter((item) => item !== undefined && item !== '');
  return present.length === 0 ? '<none>' : present.join(',');
}

/** Text, or `<none>`. */
export function orNone(text: string | undefined): string {
  return text === undefined || text === '' ? '<none>' : text;
}

/** `a=b,c=d`, or `<none>`. */
export function pairs(map: Record<string, string> | undefined): string {
  return joined(Object.entries(map ?? {}).map(([key, value]) => `${key}=${value}`));
}
