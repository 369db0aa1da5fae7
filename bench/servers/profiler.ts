/**
 * Node's own CPU profiler, in the process that is profiled.
 */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'

/** Fine enough for some seconds of a server that is not busy. */
const INTERVAL_US = 250

const session = new Session()

/** Begins a profile. */
export async function startProfile (): Promise<void> {
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US })
  await session.post('Profiler.start')
}

/** Ends the profile that was begun, and writes it to a file. */
export async function writeProfile (file: string): Promise<void> {
  const { profile } = await session.post('Profiler.stop')
  session.disconnect()
  writeFileSync(file, JSON.stringify(profile))
}
