/**
 * Lets the harness read a process' own CPU, memory and event-loop delay. It asks over IPC, so that nothing is added to
 * what it serves.
 */
import { readdirSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { startProfile, writeProfile } from './profiler.js'

/** The harness' question. */
export interface ProbeRequest {
  /** Collect garbage first, so that memory shows what is held, not what is left over. */
  readonly gc: boolean
  /** Begin a CPU profile, or end it and write it to a file. */
  readonly profile?: 'start' | { readonly file: string }
}

/** The server's answer. */
export interface ProbeReport {
  /** User and system time since the process started, in microseconds. */
  readonly cpuUs: number
  readonly rssBytes: number
  /** JavaScript heap in use plus what it holds outside of it. */
  readonly heldBytes: number
  /** 99th percentile since the last report, in ms, beyond the 10 ms resolution of the timer. */
  readonly loopDelayP99Ms: number
  /** What keeps the process alive, by Node's names: how many sockets, timers and so on. */
  readonly resources: Readonly<Record<string, number>>
  /** File descriptors; NaN where the system has no `/proc`. */
  readonly openFiles: number
  /** Calls it knows of, where it counts them. */
  readonly calls: number | undefined
}

const RESOLUTION_MS = 10

/**
 * Answers each {@link ProbeRequest} from the parent process with a {@link ProbeReport}. Does nothing without a parent.
 * @param countCalls how many calls are live
 */
export function answerProbes (countCalls?: () => number): void {
  if (process.send === undefined) return
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  process.on('message', async ({ gc, profile }: ProbeRequest) => {
    if (profile === 'start') await startProfile()
    else if (profile !== undefined) await writeProfile(profile.file)
    if (gc) globalThis.gc?.()
    const cpu = process.cpuUsage()
    const memory = process.memoryUsage()
    const report: ProbeReport = {
      cpuUs: cpu.user + cpu.system,
      rssBytes: memory.rss,
      heldBytes: memory.heapUsed + memory.external,
      loopDelayP99Ms: Math.max(0, delay.percentile(99) / 1e6 - RESOLUTION_MS),
      resources: countEach(process.getActiveResourcesInfo()),
      openFiles: countFiles(),
      calls: countCalls?.()
    }
    delay.reset()
    process.send?.(report)
  })
}

function countFiles (): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return NaN
  }
}

function countEach (names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
