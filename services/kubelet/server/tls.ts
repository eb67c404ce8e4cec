/** The TLS settings of a configuration in OpenSSL's terms; names are those of Go's crypto/tls. */
import type { SecureVersion } from 'node:tls';
import type { KubeletConfiguration } from '../configuration/defaults.ts';

/** Options for a TLS server. */
export function tlsOptions(
  configuration: Pick<KubeletConfiguration, 'tlsMinVersion' | 'tlsCipherSuites' | 'tlsCurvePreferences'>,
): { minVersion: SecureVersion; ciphers: string | undefined; ecdhCurve: string | undefined } {
  const { tlsMinVersion, tlsCipherSuites, tlsCurvePreferences } = configuration;
  return {
    minVersion: tlsMinVersion === 'VersionTLS13' ? 'TLSv1.3' : 'TLSv1.2',
    ciphers: ciphers(tlsCipherSuites),
    ecdhCurve: curves(tlsCurvePreferences),
  };
}

/** Curves by Go's name and by the number in the protocol (IANA's TLS Supported Groups). */
const curveNames: Record<string, string> = {
  CurveP256: 'P-256',
  CurveP384: 'P-384',
  CurveP521: 'P-521',
  X25519: 'X25519',
  X25519MLKEM768: 'X25519MLKEM768',
  23: 'P-256',
  24: 'P-384',
  25: 'P-521',
  29: 'X25519',
  4588: 'X25519MLKEM768',
};

/** Whether a curve is known. */
export function isCurve(curve: string | number): boolean {
  return curveNames[String(curve)] !== undefined;
}

function curves(preferences: readonly (string | number)[] | undefined): string | undefined {
  if (preferences === undefined || preferences.length === 0) return undefined;
  return preferences.map((curve) => curveNames[String(curve)] ?? String(curve)).join(':');
}

/** Go's names of cipher suites are IANA's; OpenSSL takes those of TLS 1.3 as they are, the others by its own. */
function ciphers(names: readonly string[] | undefined): string | undefined {
  if (names === undefined || names.length === 0) return undefined;
  const openssl = names.map((name) =>
    name.startsWith('TLS_AES') || name.startsWith('TLS_CHACHA20_POLY1305_SHA256')
      ? name
      : name
          .replace(/^TLS_/, '')
          .replace(/^RSA_WITH_|_WITH_/, (found) => (found === '_WITH_' ? '_' : ''))
          .replace('_CBC', '')
          .replace(/AES_(\d+)/, 'AES$1')
          .replace(/_SHA256$/, (suffix) => (name.includes('CHACHA20') ? '' : suffix))
          .replaceAll('_', '-'),
  );
  return openssl.join(':');
}
