/**
 * How often a property is tried: a quarter of what CI does, unless RUNS says otherwise (`RUNS=1` in CI, `RUNS=20` for a night).
 */
const factor = Number(process.env['RUNS'] ?? 0.25)

export function scaledRuns (inCI: number): number {
  return Math.ceil(inCI * factor)
}
