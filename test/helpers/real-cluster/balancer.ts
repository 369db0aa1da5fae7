/**
 * HAProxy before the nodes, as one that providers dial.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../redis.js'
import { Program } from './program.js'

/** Where a node listens. */
export interface Backend {
  readonly name: string
  readonly address: string
  readonly port: number
}

/** How it is to balance. */
export interface BalancerOptions {
  /** Of connections, which it does not look into; or of requests, which it tries elsewhere where a node is closing. Default `tcp`. */
  readonly mode?: 'tcp' | 'http' | undefined
  /** Path of the nodes' readiness route. */
  readonly readinessPath: string
}

/** Nobody else calls from here: a port that was free stays free. */
const ADDRESS = '127.0.0.9'

const POLL_MS = 20

const MODES = {
  tcp: [],
  // The handshake is a request without a body: who is refused by a node that closes is taken to another one.
  http: ['option forwardfor', 'retry-on conn-failure empty-response response-timeout 503']
} as const

/** Whoever starts it stops it. */
export class Balancer {
  readonly #program: Program
  readonly #folder: string
  readonly #port: number

  private constructor (program: Program, folder: string, port: number) {
    this.#program = program
    this.#folder = folder
    this.#port = port
  }

  /** Resolves once it takes calls. */
  static async start (backends: readonly Backend[], { mode = 'tcp', readinessPath }: BalancerOptions): Promise<Balancer> {
    const folder = await mkdtemp(join(tmpdir(), 'balancer-'))
    const port = await freePort(ADDRESS)
    const file = join(folder, 'haproxy.cfg')
    await writeFile(file, [
      'global',
      '  maxconn 4096',
      'defaults',
      `  mode ${mode}`,
      // A node that refuses is asked again after as long, where it is its turn again.
      '  timeout connect 200ms',
      '  timeout client 1h',
      '  timeout server 1h',
      '  timeout check 1s',
      '  retries 3',
      // Where nobody listens any more another node is asked at once.
      '  option redispatch 1',
      ...MODES[mode].map(line => `  ${line}`),
      'frontend providers',
      `  bind ${ADDRESS}:${port}`,
      '  default_backend nodes',
      'backend nodes',
      '  balance roundrobin',
      `  option httpchk GET ${readinessPath}`,
      '  http-check expect status 200',
      '  default-server inter 200ms fall 1 rise 1',
      ...backends.map(({ name, address, port }) => `  server ${name} ${address}:${port} check`),
      ''
    ].join('\n'))
    const balancer = new Balancer(new Program('haproxy', ['-db', '-f', file]), folder, port)
    // It does not say when it listens.
    while (!await answers(`http://${ADDRESS}:${port}${readinessPath}`)) await delay(POLL_MS)
    return balancer
  }

  /** Base URL of the providers' routes. */
  get url (): string {
    return `ws://${ADDRESS}:${this.#port}`
  }

  /** Resolves once it knows that a node takes calls, or takes none. */
  async knows (name: string, state: 'UP' | 'DOWN'): Promise<void> {
    await this.#program.says(output => stateIn(output, name) === state)
  }

  async stop (): Promise<void> {
    await this.#program.end('SIGKILL')
    await rm(this.#folder, { recursive: true })
  }
}

// They are up until they are found down.
function stateIn (output: string, name: string): string {
  const told = Array.from(output.matchAll(/Server nodes\/(\S+) is (UP|DOWN)/g)).findLast(([, told]) => told === name)
  return told?.[2] ?? 'UP'
}

async function answers (url: string): Promise<boolean> {
  try {
    const response = await fetch(url)
    await response.text()
    return response.ok
  } catch {
    return false
  }
}
