/**
 * What strangers, and peers that are out of order, do to a server: each attack is one socket, opened, abused and let go of.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { pause } from '../population.js'

/** Longest that an attacker stays, unless it is hung up on before. */
const STAY_MS = 5_000
const UNFINISHED_TEXT = 0x01
const CONTINUATION = 0x00
const TEXT = 0x81
const PING = 0x89
const PONG = 0x8a

type Attack = (socket: Socket, path: string, stopping: AbortSignal) => Promise<void>

let attacked = 0

function frame (first: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([first, 0x80 | payload.length]), Buffer.alloc(4), payload])
}

function repeated (count: number, bytes: Buffer): Buffer {
  return Buffer.concat(Array<Buffer>(count).fill(bytes))
}

const ONE = frame(CONTINUATION, Buffer.from('x'))
const FULL_PONGS = repeated(500, frame(PONG, Buffer.alloc(125)))
const PINGS = repeated(50, frame(PING, Buffer.alloc(125)))
const UPDATES = repeated(100, frame(TEXT, Buffer.from('{"interaction_type":"update_only","transcript":[]}')))

function upgrade (path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`
}

async function write (socket: Socket, bytes: Buffer | string): Promise<void> {
  if (socket.destroyed || socket.write(bytes)) return
  await new Promise<void>(resolve => {
    const done = (): void => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })
}

/** Ahead of the upgrade, which does not come. */
function asking (bytes: () => string): Attack {
  return async (socket, _path, stopping) => {
    await write(socket, bytes())
    await pause(Math.random() * STAY_MS, stopping)
  }
}

/** The upgrade is granted, and then comes this, so often at most. */
function admitted (first: Buffer | string, again: Buffer | string = '', times = 0, gapMs = 0): Attack {
  return async (socket, path, stopping) => {
    await write(socket, upgrade(path))
    await write(socket, first)
    for (let n = 0; n < times && !socket.destroyed && !stopping.aborted; n++) {
      await write(socket, again)
      if (gapMs > 0) await pause(gapMs, stopping)
    }
    await pause(Math.random() * STAY_MS, stopping)
  }
}

const DETAILS = frame(TEXT, Buffer.from('{"interaction_type":"call_details","call":{}}'))
const REQUEST = frame(TEXT, Buffer.from('{"interaction_type":"response_required","response_id":1,"transcript":[{"role":"user","content":"1"}]}').subarray(0, 125))

/** In rotation. */
const ATTACKS: readonly Attack[] = [
  asking(() => ''),
  asking(() => 'GET / HTTP/1.1\r\nHost: x\r\n'),
  asking(() => `GET /${'x'.repeat(100_000)} HTTP/1.1\r\n\r\n`),
  asking(() => upgrade('/llm-websocket/%zz')),
  asking(() => upgrade('/nowhere')),
  asking(() => `GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n${upgrade('/llm-websocket/behind')}`),
  asking(() => 'GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'.repeat(10)),
  asking(() => upgrade('/llm-websocket/key', 'Sec-WebSocket-Key: x\r\n')),
  admitted(frame(UNFINISHED_TEXT, Buffer.from('x')), repeated(1_000, ONE), 100),
  admitted(frame(UNFINISHED_TEXT, Buffer.alloc(0)), repeated(1_000, frame(CONTINUATION, Buffer.alloc(0))), 100),
  admitted(frame(UNFINISHED_TEXT, Buffer.from('x')), Buffer.concat([ONE, FULL_PONGS]), 1_000),
  admitted(Buffer.from([TEXT, 0xff, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0, 0, 0, 0]), 'x', 500, 5),
  admitted(Buffer.from([TEXT, 0xff, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0, 0, 0, 0]), Buffer.alloc(64 * 1024), 16, 50),
  admitted(DETAILS, PINGS, 1_000, 1),
  admitted(DETAILS, UPDATES, 100, 1),
  admitted(frame(TEXT | 0x40, Buffer.from([0x4a, 0x4c, 4, 0]))),
  admitted(Buffer.concat([DETAILS, REQUEST])),
  admitted(Buffer.from([TEXT, 3, 0x78, 0x79, 0x7a])),
  admitted(frame(TEXT, Buffer.from([0xc0, 0xaf])))
]

/** Carries out the next attack. Resolves when its socket is gone, by whoever's doing. */
export async function attack (url: string, stopping: AbortSignal): Promise<void> {
  const { hostname, port } = new URL(url)
  const number = attacked++
  const socket = connect({ port: Number(port), host: hostname, noDelay: true })
  // Refused and reset connections are what attackers get.
  socket.on('error', () => {})
  // Every third one reads nothing.
  if (number % 3 !== 0) socket.resume()
  await Promise.race([once(socket, 'connect').catch(() => {}), once(socket, 'close').catch(() => {})])
  await ATTACKS[number % ATTACKS.length]!(socket, `/llm-websocket/hostile_${number}`, stopping)
  if (number % 2 === 0) socket.resetAndDestroy()
  else socket.destroy()
}

/** How many attacks were begun. */
export function attacksBegun (): number {
  return attacked
}
