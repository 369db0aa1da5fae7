/**
 * `npm run dial`: asks the running example app to place a call. Only the process that serves a call can admit its id.
 */
import { parseArgs } from 'node:util'
import type { DialRequest } from './dialling.js'

const USAGE = `npm run dial -- [--provider retell|millis] --to +15550100001
npm run dial -- --twilio --to +15550100001
npm run dial -- --web

  Has the server that \`npm start\` runs place a call. Start both with the same DIAL_TOKEN.

  --provider  whose agent it is; Retell's, unless told otherwise
  --to        whom to call, in E.164
  --twilio    over your own Twilio number, with a Retell agent
  --web       from a browser, with a Retell agent: prints what the page needs to join
  --help      this

  DIAL_URL    where the server is, default http://127.0.0.1:PORT (PORT: 3000)
`

const { DIAL_TOKEN, PORT, DIAL_URL } = process.env

function readArgs (): DialRequest | 'help' {
  const { values: { provider, to, twilio, web, help } } = parseArgs({
    options: {
      provider: { type: 'string', default: 'retell' },
      to: { type: 'string' },
      twilio: { type: 'boolean', default: false },
      web: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  if (help) return 'help'
  if (provider !== 'retell' && provider !== 'millis') throw new Error('--provider is retell or millis')
  if (twilio && web) throw new Error('--twilio and --web are two ways')
  if (provider === 'millis' && (twilio || web)) throw new Error('Millis calls phones from its own numbers: leave out --twilio and --web')
  if (DIAL_URL && (!/^https?:/.test(DIAL_URL) || !URL.canParse(DIAL_URL))) throw new Error('DIAL_URL is no http or https URL')
  if (!DIAL_TOKEN) throw new Error('DIAL_TOKEN is not set: the server wants the one that it was started with')
  if (web) return { way: 'retell-web' }
  if (to === undefined) throw new Error('--to is missing: whom to call')
  return { way: twilio ? 'retell-twilio' : `${provider}-phone`, to }
}

/** Prints what came of it, and returns the exit code. */
async function dial (request: DialRequest): Promise<number> {
  const server = DIAL_URL || `http://127.0.0.1:${PORT || 3000}`
  let response: Response
  let answer: { message: string, callId: string, twilioCallSid?: string, join?: object }
  try {
    response = await fetch(new URL('/dial', server), {
      method: 'POST',
      headers: { authorization: `Bearer ${DIAL_TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify(request)
    })
    answer = await response.json() as typeof answer
  } catch {
    console.error(`The example app does not answer at ${new URL(server).origin}: run "npm start" first, with the same DIAL_TOKEN and PORT`)
    return 1
  }
  if (!response.ok) {
    console.error(response.status === 404 ? 'The server has no /dial: start it with a DIAL_TOKEN' : answer.message)
    return 1
  }
  const { callId, twilioCallSid, join } = answer
  console.log(`Call ${callId}${twilioCallSid === undefined ? '' : `, at Twilio ${twilioCallSid}`}`)
  if (join !== undefined) {
    console.log('Join within 30 s, from a page with retell-client-js-sdk 3:\n')
    console.log(`  await new RetellWebClient().startCall(${JSON.stringify(join)})`)
  }
  return 0
}

try {
  const request = readArgs()
  if (request === 'help') console.log(USAGE)
  else process.exitCode = await dial(request)
} catch (error) {
  console.error(`${(error as Error).message}\n\n${USAGE}`)
  process.exitCode = 2
}
