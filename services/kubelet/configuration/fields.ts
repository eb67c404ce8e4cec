/** Kinds of values in a KubeletConfiguration, each with the message a person gets for a wrong one. */
import { z } from 'zod';
import { isDuration } from './duration.ts';

/** A Go duration. */
export const duration = z.string().refine(isDuration, 'must be a duration such as 10s, 1m30s or 500ms');

/** A TCP port; 0 turns the listener off. */
export const port = z.int().min(0).max(65_535);

/** A share in percent. */
export const percent = z.int().min(0).max(100);

/** Names to quantities: `cpu: 100m`. */
export const resourceMap = z.record(z.string(), z.union([z.string(), z.number()]).transform(String));

/** Signals to thresholds: `memory.available: 100Mi` or `10%`. */
export const thresholds = z.record(z.string(), z.string());

/** A whole number that is not negative. */
export const count = z.int().min(0);
