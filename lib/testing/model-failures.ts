import { CUT, RESET, STALL, type Script } from './script.js'

/**
 * How models fail, each ready for `ScriptedModel.next()`. Those that fail late say `One ` first. For a refused connection call
 * `ScriptedModel.close()`.
 */
export const failures = {
  unauthorized: { status: 401 },
  rateLimited: { status: 429, headers: { 'retry-after': '2' } },
  serverError: { status: 500 },
  /** Azure's refusal of the prompt. */
  filteredPrompt: {
    status: 400,
    body: {
      error: {
        message: 'The response was filtered due to the prompt triggering the content management policy.',
        type: null,
        param: 'prompt',
        code: 'content_filter',
        status: 400,
        innererror: { code: 'ResponsibleAIPolicyViolation', content_filter_result: { violence: { filtered: true, severity: 'medium' } } }
      }
    }
  },
  filteredAtOnce: { steps: [], finishReason: 'content_filter' },
  filteredMidStream: { steps: ['One '], finishReason: 'content_filter' },
  cutBeforeHeaders: CUT,
  resetBeforeHeaders: RESET,
  cutAfterHeaders: { role: false, steps: [CUT] },
  cutMidStream: ['One ', CUT],
  noHeaders: STALL,
  stalledAfterHeaders: { role: false, steps: [STALL] },
  stalledMidStream: ['One ', STALL],
  errorAtOnce: [{ chunk: { error: { message: 'Overloaded', type: 'server_error', param: null, code: null } } }],
  errorMidStream: ['One ', { chunk: { error: { message: 'Overloaded', type: 'server_error', param: null, code: null } } }],
  /** Malformed JSON, then a stall, so that only the agent can end the request. */
  garbage: ['One ', { raw: 'data: {"choices": [\n\n' }, STALL],
  /** Valid JSON, but not chunks. */
  oddChunks: [
    ...[5, null, true, 'chunk', [], {}, { choices: null }, { choices: 'none' }, { choices: [null] }],
    ...[{ choices: [{ delta: 5 }] }, { choices: [{ delta: null }] }],
    ...[5, true, ['a'], { text: 'a' }].flatMap(text => [
      { choices: [{ delta: { content: text } }] }, { choices: [{ delta: { refusal: text } }] }
    ])
  ].map(chunk => ({ chunk })),
  empty: [],
  blank: ['\n', ' '],
  outOfTokensAtOnce: { steps: [], finishReason: 'length' },
  outOfTokens: { steps: ['One '], finishReason: 'length' },
  /** A clean end, but neither `finish_reason` nor `[DONE]` before it. */
  endlessAtOnce: { steps: [], finishReason: null, done: false },
  endless: { steps: ['One '], finishReason: null, done: false },
  html: { status: 200, headers: { 'content-type': 'text/html' }, body: '<!doctype html>\n\n<title>Sign in</title>\n' },
  /** The server ignores `stream: true`; its answer is spoken. */
  json: {
    status: 200,
    body: { object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'One' }, finish_reason: 'stop' }] }
  }
} satisfies Record<string, Script>
