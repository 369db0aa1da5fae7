import type { FileResult } from './file-result.js'

/** Results as the XML that JUnit writes and build servers read. */
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

// What XML 1.0 cannot hold is left out.
function escape (text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '').replace(/[<>&"]/g, character => `&#${character.charCodeAt(0)};`)
}
