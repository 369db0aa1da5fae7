/**
 * How many calls the machine allows: each is a file descriptor here, and another one in the server.
 */
import { SERVERS } from './processes.js'
import type { Bench } from './scenarios/scenario.js'

/** For everything that is no call: libraries, pipes, connections to the model. */
const OTHER_FILES = 200

/** As many calls as the limit on open files (`ulimit -n`) leaves room for. Says so where that is less than was wanted. */
export function affordable (calls: number, { size, progress }: Pick<Bench, 'size' | 'progress'>): number {
  const limit = openFilesLimit()
  // In a smoke run the calls of all servers are made at the same time.
  const crowds = size.quick ? SERVERS.length : 1
  const needed = calls * crowds + OTHER_FILES
  if (needed <= limit) return calls
  const fewer = Math.max(Math.floor((limit - OTHER_FILES) / crowds), 1)
  progress(`ulimit -n is ${limit}: ${fewer} calls instead of ${calls}, for which it has to be ${needed}\n`)
  return fewer
}

/** Node has raised its own limit to the hard one at its start, and does so in the servers, too. */
function openFilesLimit (): number {
  const { userLimits } = process.report.getReport() as { userLimits?: { open_files?: { soft: number | 'unlimited' } } }
  const soft = userLimits?.open_files?.soft
  return typeof soft === 'number' ? soft : Infinity
}
