/**
 * A connection on which nobody ever says a word.
 */
import { WebSocket } from 'ws'

/** The server waits for 30 s and looks every 5 s; the rest is for a busy machine. */
const MOST_MS = 45_000
const POLICY_VIOLATION = 1008

/**
 * Opens one, and waits to be shown the door.
 * @param patienceMs leaves by itself after so long
 * @throws when it was left alone for 45 s, or closed in another way
 */
export async function keepSilent (url: string, patienceMs: number, stopping: AbortSignal): Promise<void> {
  const socket = new WebSocket(url, { perMessageDeflate: false })
  let left = false
  const leave = (): void => {
    left = true
    socket.terminate()
  }
  const timer = setTimeout(leave, Math.min(patienceMs, MOST_MS))
  stopping.addEventListener('abort', leave, { once: true })
  const code = await new Promise<number>(resolve => {
    socket.on('close', resolve)
    // `close` comes as well, with 1006.
    socket.on('error', () => {})
  })
  clearTimeout(timer)
  stopping.removeEventListener('abort', leave)
  if (!left && code !== POLICY_VIOLATION) throw new Error(`a silent connection was closed with ${code}`)
  if (left && !stopping.aborted && patienceMs >= MOST_MS) throw new Error(`a silent connection was left alone for ${MOST_MS} ms`)
}
