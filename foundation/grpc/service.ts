/** Turns a protobuf-es service description into the definition that grpc-js serves and calls. */
import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { EncodedMessage } from './encoded.ts';

/** A message, or the fields to set, of a schema that is known only at run time. */
type Fields = Record<string, unknown>;

/** What a method of a service takes. */
export type InputOf<M extends DescMethod> = MessageShape<M['input']>;
/** What a caller may give a method: the message, or the fields to set. */
export type InitOf<M extends DescMethod> = MessageInitShape<M['input']>;
/** What a method answers. */
export type OutputOf<M extends DescMethod> = MessageShape<M['output']>;
/** What a handler may return: the message, the fields to set, or the message in wire format. */
export type OutputInitOf<M extends DescMethod> = MessageInitShape<M['output']> | EncodedMessage;

/** grpc-js's definition of `method` of `service`; messages are encoded by protobuf-es. */
export function methodDefinition(service: DescService, method: DescMethod): MethodDefinition<object, object> {
  const streams = method.methodKind;
  return {
    path: `/${service.typeName}/${method.name}`,
    requestStream: streams === 'client_streaming' || streams === 'bidi_streaming',
    responseStream: streams === 'server_streaming' || streams === 'bidi_streaming',
    requestSerialize: (value) => Buffer.from(toBinary(method.input, create(method.input, value as Fields))),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (value) =>
      value instanceof EncodedMessage
        ? value.bytes
        : Buffer.from(toBinary(method.output, create(method.output, value as Fields))),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
    originalName: method.localName,
  };
}

/** grpc-js's definition of a whole service, keyed by method name. */
export function serviceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => [method.localName, methodDefinition(service, method)]),
  );
}
