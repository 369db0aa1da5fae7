/**
 * How much of the machine other work took during a measurement. A figure taken on a busy machine is still printed, but
 * the reader can see what it is worth.
 */
import { cpus } from 'node:os'
import type { Model, Server } from './processes.js'

/** Begins to watch. @returns what tells the share (0 to 1) of all cores that belonged to nobody of ours since then */
export async function watchForeignCpu (model: Model): Promise<(server: Server) => Promise<number>> {
  const machine = machineTime()
  const harness = process.cpuUsage()
  const modelUs = (await model.probe()).cpuUs
  return async server => {
    const now = machineTime()
    const own = process.cpuUsage(harness)
    // The server was started after the watch began, so all its CPU time counts.
    const ours = (own.user + own.system + (await server.probe()).cpuUs + (await model.probe()).cpuUs - modelUs) / 1000
    return Math.max(0, (now.busyMs - machine.busyMs - ours) / (now.allMs - machine.allMs))
  }
}

function machineTime (): { busyMs: number, allMs: number } {
  let busyMs = 0
  let idleMs = 0
  for (const { times } of cpus()) {
    busyMs += times.user + times.nice + times.sys + times.irq
    idleMs += times.idle
  }
  return { busyMs, allMs: busyMs + idleMs }
}
