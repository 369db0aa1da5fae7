import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Test } from 'tap'

/** Says why tests that need Redis are skipped; false where there is one. */
export const noRedis: false | string = spawnSync('redis-server', ['--version']).status === 0 ? false : 'there is no redis-server on this machine'

/** A Redis of the test's own, as a process. */
export class RedisServer {
  readonly port: number
  readonly url: string
  /** For looking into it. */
  readonly client: Redis
  readonly #args: string[]
  /** Has something done when the test ends, before what was so far asked to be done then. */
  atEnd: (act: () => unknown) => void
  #process: ChildProcess | undefined

  constructor (port: number, args: string[], atEnd: (act: () => unknown) => void, address = '127.0.0.1') {
    this.port = port
    this.atEnd = atEnd
    this.url = `redis://${address}:${port}`
    this.#args = ['--port', String(port), '--bind', address, '--save', '', '--appendonly', 'no', ...args]
    this.client = new Redis(this.url, { lazyConnect: true, retryStrategy: () => 20, maxRetriesPerRequest: null })
    this.client.on('error', () => {})
  }

  /** Starts it, be it again: then it remembers nothing, unless its arguments say otherwise. */
  async start (): Promise<void> {
    const child = spawn('redis-server', this.#args, { stdio: ['ignore', 'pipe', 'ignore'] })
    this.#process = child
    let output = ''
    for await (const chunk of child.stdout) {
      output += String(chunk)
      if (output.includes('eady to accept connections')) break
    }
    if (child.exitCode !== null) throw new Error(`redis-server ended: ${output}`)
  }

  /** The commands that come in from now on, without those of scripts. Ends with the test. */
  async watch (t: Test): Promise<string[][]> {
    const commands: string[][] = []
    // A client may take a line of the monitor for the answer to what it asked before.
    const socket = connect(this.port, new URL(this.url).hostname).setEncoding('latin1')
    t.teardown(() => { socket.destroy() })
    let text = ''
    const isWatching = new Promise<void>((resolve, reject) => {
      socket.on('error', reject)
      socket.on('data', (chunk: string) => {
        const lines = (text + chunk).split('\r\n')
        text = lines.pop()!
        for (const line of lines) {
          if (line === '+OK') resolve()
          else if (!/^\+\S+ \[\d+ lua\]/.test(line)) commands.push(argsIn(line))
        }
      })
    })
    socket.write('MONITOR\r\n')
    await isWatching
    return commands
  }

  /** Cuts the connections over which nodes listen: they dial again, unless it takes no more until the test ends. */
  async cutListeners ({ forGood = false } = {}): Promise<void> {
    if (forGood) {
      const [, usual] = await this.client.config('GET', 'maxclients') as [string, string]
      this.atEnd(() => this.client.config('SET', 'maxclients', usual))
      await this.client.config('SET', 'maxclients', 1)
    }
    await this.client.call('client', 'kill', 'type', 'pubsub')
  }

  /** It does not answer, though its sockets stay open, until it is resumed or the test ends. */
  pause (): void {
    this.atEnd(() => this.resume())
    this.#process!.kill('SIGSTOP')
  }

  resume (): void {
    this.#process!.kill('SIGCONT')
  }

  async kill (): Promise<void> {
    const child = this.#process
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  async restart (): Promise<void> {
    await this.kill()
    await this.start()
  }
}

/**
 * A running Redis, killed when the test ends.
 * @param address where it listens. Where others call from the port may be taken when it comes back
 */
export async function startRedis (t: Pick<Test, 'teardown'>, args: string[] = [], address?: string): Promise<RedisServer> {
  const server = await createRedis(t, args, address)
  await server.start()
  return server
}

/** A Redis that is not running yet. */
export async function createRedis (t: Pick<Test, 'teardown'>, args: string[] = [], address?: string): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'voice-agent-redis-'))
  const server = new RedisServer(await freePort(address), ['--dir', directory, ...args], act => t.teardown(act), address)
  t.teardown(async () => {
    server.client.disconnect()
    await server.kill()
    await rm(directory, { recursive: true })
  })
  return server
}

/** A Redis Cluster of three servers, each with a third of the slots. */
export async function startRedisCluster (t: Test): Promise<RedisServer[]> {
  const servers = await Promise.all([1, 2, 3].map(async () => {
    const bus = await freePort()
    return await startRedis(t, ['--cluster-enabled', 'yes', '--cluster-port', String(bus), '--cluster-node-timeout', '2000'])
  }))
  const { status, stdout } = spawnSync('redis-cli', ['--cluster', 'create', ...servers.map(({ port }) => `127.0.0.1:${port}`), '--cluster-yes'], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`redis-cli: ${stdout}`)
  for (const { client } of servers) await until(async () => (await client.cluster('INFO')).includes('cluster_state:ok'))
  for (const { client } of servers) await hears(client, servers)
  return servers
}

/** Resolves once what is published anywhere reaches this one: the links for that are made later. */
async function hears (client: Redis, servers: readonly RedisServer[]): Promise<void> {
  const heard = new Set<string>()
  const listener = client.duplicate()
  listener.on('message', (_channel, from) => heard.add(from))
  await listener.subscribe('links')
  for (const { client, port } of servers) {
    await until(async () => {
      await client.publish('links', String(port))
      return heard.has(String(port))
    })
  }
  listener.disconnect()
}

/** The words of a line of MONITOR, such as `+1339518083.107412 [0 127.0.0.1:60866] "set" "key" "\xc3\xa4"`; each byte is a character. */
function argsIn (line: string): string[] {
  return Array.from(line.matchAll(/"((?:[^"\\]|\\.)*)"/g), ([, word]) => word!.replaceAll(/\\(x..|.)/g, (_, escape: string) =>
    escape.length === 3 ? String.fromCharCode(parseInt(escape.slice(1), 16)) : ESCAPES[escape] ?? escape))
}

const ESCAPES: Record<string, string> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b' }

/** Resolves once a condition holds of which no event tells. Rejects after half a minute. */
export async function until (holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!await holds()) {
    if (Date.now() > deadline) throw new Error(`in vain: ${String(holds)}`)
    await wait(5)
  }
}

/** A port of this address that nothing listens on. Where nobody calls from this address, nothing will take it, either. */
export async function freePort (address = '127.0.0.1'): Promise<number> {
  const server = createServer().listen(0, address)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
