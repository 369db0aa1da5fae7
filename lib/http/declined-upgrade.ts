/**
 * Requests that ask to go on in a protocol that we do not speak, such as `Upgrade: h2c` of `curl --http2` and Java's client. A
 * server may ignore that, and answers in HTTP/1.1. Node cannot ignore it once somebody listens for upgrades: it hands over the
 * socket, and no longer reads requests from it.
 */
import { ServerResponse, type IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

// Node keeps this many headers of a request, unless `server.maxHeadersCount` says otherwise, and drops the others silently.
const DEFAULT_MAX_HEADERS = 1_000

// Up to Node 24 the body of a request for an upgrade is left unread on the socket. Since Node 26 it is parsed.
const PARSES_BODIES = Number.parseInt(process.versions.node) >= 26

const HEADERS_TOO_LARGE = 'HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

/** Undeclared members of Node's sockets and responses. */
type HttpSocket = Socket & { _httpMessage?: ServerResponse | null }
type HttpResponse = ServerResponse & { _last?: boolean }

/**
 * True if Node may have dropped headers of this request, so that the absence of a header means nothing. Requests injected by test
 * tools have no `rawHeaders`.
 */
export function hasCutHeaders (
  { rawHeaders }: { readonly rawHeaders?: readonly string[] },
  { maxHeadersCount }: Pick<Server, 'maxHeadersCount'>
): boolean {
  const most = maxHeadersCount ?? DEFAULT_MAX_HEADERS
  return most > 0 && rawHeaders !== undefined && rawHeaders.length >= 2 * most
}

/** Serves the requests of one server whose upgrade is declined, as if they had asked for none. */
export class DeclinedUpgrades {
  readonly #server: Server
  readonly #parsesBodies: boolean
  /** Sockets that no parser reads at the moment, as an earlier request is being answered. */
  readonly #waiting = new Set<Socket>()

  /** @param parsesBodies whether this version of Node parses the bodies of requests for an upgrade */
  constructor (server: Server, parsesBodies = PARSES_BODIES) {
    this.#server = server
    this.#parsesBodies = parsesBodies
  }

  /**
   * Takes what Node gives to a listener for upgrades.
   * @param stream the request's socket or, where its body is still being parsed, a stream of what comes behind the body
   */
  serve (request: IncomingMessage, stream: Duplex, head: Buffer): void {
    const { socket } = request
    // Node took its own listener off the socket, and an error without a listener would end the process.
    stream.on('error', ignore)
    if (hasCutHeaders(request, this.#server)) {
      // The length of its body may be among the dropped headers: what comes next must not be read as a request.
      this.#behindAnswers(socket, () => socket.end(HEADERS_TOO_LARGE, () => socket.destroy()))
    } else if (this.#parsesBodies && hasBody(request)) {
      const whole = stream === socket ? giveBack(socket, head) : bodyOf(socket, stream)
      this.#behindAnswers(socket, () => this.#answer(request, whole))
    } else {
      // At once, though it may have to wait: a socket with nothing to read, whose peer has hung up, takes nothing back.
      socket.unshift(Buffer.concat([Buffer.from(withoutUpgrade(request), 'latin1'), head]))
      this.#behindAnswers(socket, () => this.#readAnew(socket))
    }
  }

  /** Drops the sockets that wait. Node does not know of them any more, and would wait for them when the server closes. */
  close (): void {
    for (const socket of this.#waiting) socket.destroy()
  }

  // The request with its parsed body goes to the app, and what comes behind the body to a new parser.
  #answer (request: IncomingMessage, whole: Promise<void>): void {
    const { socket, headers, headers: { connection = '', expect = '' } } = request
    delete headers.upgrade
    const response: HttpResponse = new ServerResponse(request)
    response.assignSocket(socket)
    if (/\bclose\b/i.test(connection)) response.shouldKeepAlive = false
    response.once('finish', () => {
      response.detachSocket(socket)
      if (response._last) socket.destroySoon()
      // The rest of a body that the app did not read.
      request.resume()
      response.emit('close')
    })
    if (/^100-continue$/i.test(expect)) response.writeContinue()
    this.#server.emit('request', request, response)
    this.#behindAnswers(socket, () => {
      void whole.then(() => this.#readAnew(socket)) // eslint-disable-line no-void
    })
  }

  #readAnew (socket: Socket): void {
    if (!socket.readable) {
      // The peer hung up, and nothing is left to read.
      socket.end()
      return
    }
    socket.off('error', ignore)
    // The timer of an idle connection may have been started behind the earlier answer.
    socket.setTimeout(0)
    this.#server.emit(socket instanceof TLSSocket ? 'secureConnection' : 'connection', socket)
  }

  // Node answers in order. A parser that reads the next request knows nothing of those that another one read before.
  #behindAnswers (socket: HttpSocket, act: () => void): void {
    if (!socket._httpMessage) return act()
    this.#waiting.add(socket)
    // As Node's own listener does, which is gone.
    const drain = (): void => { socket._httpMessage?.emit('drain') }
    socket.on('drain', drain)
    const next = (): void => {
      // The answer of a closed socket stays on it, and no other one follows.
      if (socket._httpMessage && !socket.destroyed) {
        // By then the next answer has the socket, if there is one.
        socket._httpMessage.once('close', next)
        return
      }
      this.#waiting.delete(socket)
      socket.off('drain', drain)
      if (socket.writable) act()
    }
    next()
  }
}

function ignore (): void {}

// Node 26 hands over a stream when the headers are complete, goes on with the body, and starts the stream behind it. We take its
// place: its listeners go, and so does the mark by which Node would ignore the next upgrade on this socket.
async function bodyOf (socket: Socket, stream: Duplex & { requestBodyCompleted?: (head: Buffer) => void }): Promise<void> {
  for (const event of ['error', 'end', 'close']) socket.off(event, socket.listeners(event).at(-1) as () => void)
  const mark = Object.getOwnPropertySymbols(socket).find(key => Reflect.get(socket, key) === stream)
  await new Promise<void>(resolve => {
    stream.requestBodyCompleted = head => {
      socket.on('error', ignore)
      // As Node leaves a socket that it hands over: what comes is kept until somebody listens.
      Object.assign(socket, { readableFlowing: null, [mark!]: undefined })
      resolve(giveBack(socket, head))
    }
  })
}

async function giveBack (socket: Socket, head: Buffer): Promise<void> {
  socket.unshift(head)
}

// One whose end is not known, as its last encoding is not `chunked`, is none to Node where it asks for an upgrade. Read anew, such
// a request is refused with 400, as it is elsewhere.
function hasBody ({ headers: { 'transfer-encoding': encoding = '', 'content-length': length } }: IncomingMessage): boolean {
  return /(?:^|,)[ \t]*chunked$/i.test(encoding) || Number(length) > 0
}

// `Connection` stays, as it may say that the client closes.
function withoutUpgrade ({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() !== 'upgrade') lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}
