/**
 * The two parts of undici that are used. The whole of it would make itself the dispatcher of the app's own `fetch`, and its
 * caches and mocks are 8 MiB and a tenth of a second of each start. These have no place in its interface, and its minor
 * versions may move them: package.json allows none but the one they were found in.
 */
declare module 'undici/lib/dispatcher/client.js' {
  export { Client as default } from 'undici'
}

declare module 'undici/lib/core/connect.js' {
  export { buildConnector as default } from 'undici'
}
