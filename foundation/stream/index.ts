/**
 * Streams of Kubernetes: exec, attach and port-forward, over SPDY/3.1 and over WebSocket, as server and client.
 *
 * - `spdy/` is SPDY/3.1 itself: frames, header blocks, sessions, the HTTP upgrade.
 * - `websocket/` cuts a WebSocket into channels, or makes it one byte stream.
 * - `remote-command/` is exec and attach over either; `port-forward/` the same for ports.
 * - `proxy.ts` passes an upgraded connection on, translating what the next server need not know.
 *
 * Data passes with backpressure all the way: a reader that stops holds the writer back, nothing piles up.
 */
export { connectPortForward } from './port-forward/client.ts';
export { acceptPortForward } from './port-forward/server.ts';
export { proxyUpgrade } from './proxy.ts';
export { connectRemoteCommand } from './remote-command/client.ts';
export { acceptRemoteCommand } from './remote-command/server.ts';
