/** Faults of TLS: who signs, for whom, until when, and whether it is spoken at all. */
import assert from 'node:assert/strict';
import type { FaultCase, Scene } from '../case.ts';
import { authority, certificateFor, otherAuthority } from '../certificates.ts';

const good = await certificateFor('127.0.0.1');
const expired = await certificateFor('127.0.0.1', { expired: true });
const elsewhere = await certificateFor('registry.example');
const client = await certificateFor('a-node');

const verified = ({ registry }: Scene) => `server = "${registry.url}"\n`;
const trusting = ({ registry }: Scene) => `server = "${registry.url}"\nca = "${authority.path}"\n`;
const unverified = ({ registry }: Scene) => `server = "${registry.url}"\nskip_verify = true\n`;
const demanding = { ...good, ca: authority.pem, requestCert: true };

export const tlsFaults: FaultCase[] = [
  {
    name: 'the certificate is signed by an unknown authority',
    tls: good,
    hostsToml: verified,
    fails: { code: 'FAILED_PRECONDITION', says: /is signed by an unknown authority .*hosts\.toml/ },
    after: ({ registry }) => assert.equal(registry.hits.length, 0),
  },
  {
    name: 'the certificate is signed by another authority than the configured one',
    tls: good,
    hostsToml: ({ registry }) => `server = "${registry.url}"\nca = "${otherAuthority.path}"\n`,
    fails: { code: 'FAILED_PRECONDITION', says: /is signed by an unknown authority/ },
  },
  { name: 'the configured authority signed it', tls: good, hostsToml: trusting },
  { name: 'nobody verifies, by configuration', tls: elsewhere, hostsToml: unverified },
  { name: 'https on loopback needs no configuration', tls: elsewhere },
  {
    name: 'the certificate is for another host',
    tls: elsewhere,
    hostsToml: trusting,
    fails: {
      code: 'FAILED_PRECONDITION',
      says: /certificate of 127\.0\.0\.1:\d+ is not valid: .*does not match/,
    },
  },
  {
    name: 'the certificate has expired',
    tls: expired,
    hostsToml: trusting,
    fails: { code: 'FAILED_PRECONDITION', says: /is not valid: certificate has expired/ },
  },
  {
    name: 'https is configured, http is spoken',
    hostsToml: ({ registry }) => `server = "https://${registry.address}"\n`,
    fails: { code: 'FAILED_PRECONDITION', says: /failed the TLS handshake: ERR_SSL/ },
  },
  {
    name: 'http is configured, https is spoken',
    tls: good,
    hostsToml: ({ registry }) => `server = "http://${registry.address}"\n`,
    fails: { code: 'UNKNOWN', says: /closed the connection/ },
  },
  {
    name: 'a client certificate is demanded and there is none',
    tls: demanding,
    hostsToml: trusting,
    fails: { code: 'FAILED_PRECONDITION', says: /refused the client certificate, or wants one/ },
  },
  {
    name: 'a client certificate is demanded and given',
    tls: demanding,
    hostsToml: (scene) => `${trusting(scene)}client = [["${client.certPath}", "${client.keyPath}"]]\n`,
  },
  {
    name: 'the client key does not fit its certificate',
    tls: demanding,
    hostsToml: (scene) => `${trusting(scene)}client = [["${client.certPath}", "${good.keyPath}"]]\n`,
    fails: {
      code: 'FAILED_PRECONDITION',
      says: /certificates configured for the registry are of no use: .*mismatch/,
    },
  },
];
