/** A client of any CRI runtime: both services over one unix socket. */
import { type Channel, type Client, openChannel } from '#foundation/grpc/client.ts';
import { ImageService, RuntimeService } from './runtime_pb.ts';

/** Typed calls of RuntimeService and ImageService; failures are SkiffErrors. */
export interface CriClient extends Disposable {
  readonly runtime: Client<typeof RuntimeService>;
  readonly images: Client<typeof ImageService>;
  /** Ends the connection. */
  close(): void;
}

/**
 * Connects to a CRI runtime.
 *
 * @param endpoint `unix:///run/skiff/cri.sock` or a bare path to a socket.
 */
export function connectCri(endpoint: string): CriClient {
  const address = endpoint.startsWith('/') ? `unix://${endpoint}` : endpoint;
  const channel: Channel = openChannel(address);
  return {
    runtime: channel.client(RuntimeService),
    images: channel.client(ImageService),
    close: () => channel.close(),
    [Symbol.dispose]: () => channel.close(),
  };
}
