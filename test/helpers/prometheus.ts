import { spawnSync } from 'node:child_process'

// Debian's, whatever other Python there is.
const PYTHON = '/usr/bin/python3'

/** One value of a metric. */
export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

/** A metric and its values, as Prometheus' own client reads them. */
export interface MetricFamily {
  name: string
  type: string
  help: string
  samples: Sample[]
}

/** Why {@link parseMetrics} cannot be used here, if it cannot. */
export const noPrometheusClient: string | false = run('import prometheus_client.parser') === undefined && 'python3-prometheus-client is not installed'

/** Reads Prometheus' text format. Throws where it is none. */
export function parseMetrics (text: string): MetricFamily[] {
  const output = run(`
import json, sys
from prometheus_client.parser import text_string_to_metric_families
json.dump([
  {'name': family.name, 'type': family.type, 'help': family.documentation, 'samples': [{'name': s.name, 'labels': s.labels, 'value': str(s.value)} for s in family.samples]}
  for family in text_string_to_metric_families(sys.stdin.read())
], sys.stdout)`, text)
  if (output === undefined) throw new Error('Prometheus cannot read it')
  return JSON.parse(output, (key, value) => key === 'value' ? Number(value) : value)
}

function run (program: string, input = ''): string | undefined {
  const { status, stdout } = spawnSync(PYTHON, ['-c', program], { input, encoding: 'utf8' })
  return status === 0 ? stdout : undefined
}
