/** Words of the guest, which is not trusted, made fit for logs and terminals. */

/** Cuts a text at `most` characters and takes out what could steer a terminal or forge lines. */
export function cleanText(text: string, most: number): string {
  return text
    .slice(0, most)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim();
}
