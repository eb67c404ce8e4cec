/** What is special about a kind. The verbs are the same for all; they ask these where kinds differ. */
import type { KindInfo } from '#contracts/kubernetes/kinds.ts';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import type { FieldProblem } from '#contracts/kubernetes/validation/problems.ts';
import type { User } from '../http/request.ts';
import type { Store } from '../storage/store.ts';

/** What the preparation of an object may look at. */
export interface Surroundings {
  store: Pick<Store, 'get' | 'list'>;
  user: User;
  /** Milliseconds since the epoch. */
  now: number;
  warn(text: string): void;
}

/** A subresource through which a part of an object is updated: `status`, `ephemeralcontainers`, `resize`. */
export interface PartialUpdate {
  /** Takes from `now` what may change into a copy of `before`, which is returned. */
  merge(now: never, before: never, around: Surroundings): KubeObject;
  /** Brings a body that clients of old send, of another kind, into the form of today; undefined for others. */
  fromOld?(body: Readonly<Record<string, unknown>>, before: never): object | undefined;
  /** What is wrong with the merged object. */
  validate?(merged: never, before: never): FieldProblem[];
}

/** What is special about a kind. */
export interface Strategy {
  /** Whether `metadata.generation` counts changes of the spec. */
  generation?: boolean;
  /** Whether a new object keeps the status that the client sent. */
  statusOnCreate?: boolean;
  /** Whether PUT makes an object that is not there. */
  createOnUpdate?: boolean;
  /** Fields for field selectors beside metadata.name and metadata.namespace. */
  selectable?: readonly string[];
  /** Whether DELETE answers the object instead of a Status. */
  returnsDeleted?: boolean;
  /** Admission of a new object: fills in what others decide. @throws StatusError if it may not be. */
  prepareCreate?(object: never, around: Surroundings): void;
  /** Keeps what only the server sets. */
  prepareUpdate?(now: never, before: never, around: Surroundings): void;
  /** Runs before a deletion; throws where it is not allowed. */
  checkDelete?(object: never, around: Surroundings): void;
  /** Seconds of grace for a deletion; 0 deletes at once. */
  gracePeriod?(object: never, asked: number | undefined): number;
  /** Subresources that update a part. */
  parts?: Readonly<Record<string, PartialUpdate | undefined>>;
  /** Set for a kind that is a view of another. */
  view?: View;
  /** Finalizers that every new object gets. */
  finalizers?: readonly string[];
}

/** Another form of what is stored as another resource. */
export interface View {
  /** The resource in the store. */
  of: string;
  /** A stored object in this form. */
  shown(stored: never): KubeObject;
  /** The object to store. */
  stored(shown: never): KubeObject;
}

/** A kind with all that is special about it. */
export interface ResourceType {
  kind: KindInfo;
  /** The name in the store and in messages: `pods`, `leases.coordination.k8s.io`. */
  resource: string;
  strategy: Strategy;
}
