import type { FileResult } from './file-result.js'

/** Formats results as JUnit XML, for build servers. */
export function toJUnit (results: readonly FileResult[]): string {
  const failed = results.filter(({ failures }) => failures.length > 0).length
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="fastify-voice-agent" tests="${results.length}" failures="${failed}" errors="0" skipped="0">
${results.map(toCase).join('\n')}
  </testsuite>
</testsuites>
`
}

function toCase ({ name, file, provider, failures, durationMs }: FileResult): string {
  const attributes = `name="${escape(name)}" classname="${provider}" file="${escape(file)}" time="${(durationMs / 1000).toFixed(3)}"`
  if (failures.length === 0) return `    <testcase ${attributes}/>`
  const texts = failures.map(({ at, message }) => `${at}: ${message}`)
  return `    <testcase ${attributes}>
      <failure message="${escape(texts[0]!)}">${escape(texts.join('\n'))}</failure>
    </testcase>`
}

// Omits characters that XML 1.0 cannot hold.
function escape (text: string): string {
  // eslint-disable-next-line no-control-regex
  const printable = text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '')
  return printable.replace(/[<>&"]/g, character => `&#${character.charCodeAt(0)};`)
}
