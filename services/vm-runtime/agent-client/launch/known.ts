/** Whether a part of a configuration says nothing. */
export function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === '' || value === 0) return true;
  return typeof value === 'object' && Object.values(value).every(isEmpty);
}
