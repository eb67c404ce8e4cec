/** A client of the CRI server's admin service, over the same socket as the CRI. */
import { type Client, openChannel } from '#foundation/grpc/client.ts';
import { Images } from './admin_pb.ts';

/** Typed calls; failures are SkiffErrors. */
export interface AdminClient extends Disposable {
  readonly images: Client<typeof Images>;
}

/** Connects. @param socket path of the CRI server's socket. */
export function connectAdmin(socket: string): AdminClient {
  const channel = openChannel(`unix://${socket}`);
  return { images: channel.client(Images), [Symbol.dispose]: () => channel.close() };
}
