/** Sockets at paths that every kubelet of a machine would use. */
import { connect } from 'node:net';

/** Whether somebody listens on a unix socket: another kubelet, whose socket must be left alone. */
export function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.on('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.on('error', () => resolve(false));
  });
}
