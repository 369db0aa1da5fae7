/**
 * What is answered to mistakes with the options of agents that ask models.
 */
import t from 'tap'
import { failover, openAIAgent, scriptedAgent, tool, Type } from '../../lib/index.js'
import { setEnv } from '../helpers/env.js'
import { testCalls } from './table.js'

setEnv(t)

const look = tool({ name: 'look', description: 'Looks.', parameters: Type.Object({}), execute () {} })
const asks = (options: object) => () => openAIAgent({ apiKey: 'key', ...options })
const fails = (options: object) => () => failover([scriptedAgent, scriptedAgent], options)
const OPTIONS = 'apiKey, baseURL, azure, headers, body, proxy, model, instructions, greeting, usage, temperature, maxTokens, maxTokensAs, tools, ' +
  'toolChoice, maxSteps, maxResultCharacters, maxHistoryCharacters, parallelToolCalls, speakable, startsInReasoning, runsTextCalls'
const hasHeaders = (headers: unknown) => asks({ headers })
const hasBody = (body: unknown) => asks({ body })
const NO_BODY = 'option openai.body must be an object that can be written as JSON'
const cycle: Record<string, unknown> = {}
cycle['self'] = cycle

testCalls([
  { what: 'openAIAgent without options', make: () => openAIAgent(undefined as never), error: 'openAIAgent: options must be an object' },
  {
    what: 'openAIAgent without a key',
    make: () => openAIAgent({}),
    error: 'OPENAI_API_KEY (option openai.apiKey) is missing: openAIAgent({ apiKey: process.env.OPENAI_API_KEY })'
  },
  {
    what: 'openAIAgent with a key that has a blank',
    make: asks({ apiKey: 'a b' }),
    error: 'OPENAI_API_KEY (option openai.apiKey) must be ASCII text without blanks'
  },
  {
    what: 'openAIAgent with a URL without its scheme',
    make: asks({ baseURL: 'localhost:11434/v1' }),
    error: 'OPENAI_BASE_URL (option openai.baseURL) must be an http or https URL without a query'
  },
  {
    what: 'openAIAgent with a letter too few',
    make: asks({ instruction: 'Be brief.' }),
    error: 'openAIAgent: option instruction is not known (did you mean "instructions"?)'
  },
  {
    what: 'openAIAgent in another case',
    make: asks({ baseUrl: 'http://127.0.0.1:1/v1' }),
    error: 'openAIAgent: option baseUrl is not known (did you mean "baseURL"?)'
  },
  {
    what: "openAIAgent with another SDK's option",
    make: asks({ system: 'Be brief.' }),
    error: `openAIAgent: option system is not known; known are ${OPTIONS}`
  },
  {
    what: 'openAIAgent with a mistake in azure',
    make: asks({ azure: { endpoint: 'https://desk.openai.azure.com', apikey: 'key' } }),
    error: 'openAIAgent: option azure.apikey is not known (did you mean "apiKey"?)'
  },
  {
    what: 'openAIAgent with a text for azure',
    make: asks({ azure: 'https://desk.openai.azure.com' }),
    error: 'openAIAgent: azure must be an object'
  },
  {
    what: 'openAIAgent with a tool twice',
    make: asks({ tools: [look, look] }),
    error: 'option openai.tools has two that are named look: give one of them another name'
  },
  {
    what: 'openAIAgent with a tool that tool() did not make',
    make: asks({ tools: [{ name: 'look', execute () {} }] }),
    error: 'option openai.tools must be a list of what tool() makes'
  },
  {
    what: 'openAIAgent with an unknown choice',
    make: asks({ tools: [look], toolChoice: { name: 'loook' } }),
    error: 'option openai.toolChoice must be auto, required, none, or { name } of a tool'
  },
  {
    what: 'openAIAgent with a single step',
    make: asks({ tools: [look], maxSteps: 1 }),
    error: 'option openai.maxSteps must be a whole number, 2 or more'
  },
  {
    what: 'openAIAgent with an unknown name for the token limit',
    make: asks({ maxTokens: 80, maxTokensAs: 'max_output_tokens' }),
    error: 'option openai.maxTokensAs must be max_tokens or max_completion_tokens'
  },
  { what: 'openAIAgent with a URL for proxy', make: asks({ proxy: 'http://canary@proxy:3128' }), error: 'OPENAI_PROXY (option openai.proxy) must be none or environment' },
  ...['maxResultCharacters', 'maxHistoryCharacters'].flatMap(name => [0, 1.5, '5', Infinity].map(most => ({
    what: `openAIAgent with ${most} for ${name}`,
    make: asks({ [name]: most }),
    error: `option openai.${name} must be a whole number, at least 1`
  }))),
  ...[5, null, 'x-team: canary', ['x-team', 'canary']].map(headers => ({
    what: `openAIAgent with ${JSON.stringify(headers)} for headers`,
    make: hasHeaders(headers),
    error: 'option openai.headers must be an object, or a function that returns one'
  })),
  ...[new Headers({ 'x-team': 'canary' }), new Map([['x-team', 'canary']])].map(headers => ({
    what: `openAIAgent with a ${headers.constructor.name} for headers`,
    make: hasHeaders(headers),
    error: 'option openai.headers must be a plain object: Object.fromEntries(headers)'
  })),
  { what: 'openAIAgent with no name of a header', make: hasHeaders({ 'canary 1': 'x' }), error: 'option openai.headers has a name that no header can have' },
  { what: 'openAIAgent with a header of its own', make: hasHeaders({ 'Content-Type': 'text/plain' }), error: 'option openai.headers must not have content-type, which the agent writes' },
  ...['canary\n', 'canary\r\nx-other: 1', 'canary €', 5, undefined].map(value => ({
    what: `openAIAgent with ${JSON.stringify(value)} in a header`,
    make: hasHeaders({ 'X-Team': value }),
    error: 'option openai.headers has a value that cannot be sent: x-team must be text without line breaks and other control characters'
  })),
  {
    what: 'openAIAgent without a key, and with headers that hold none',
    make: () => openAIAgent({ headers: { 'x-team': 'a' } }),
    error: 'OPENAI_API_KEY (option openai.apiKey) is missing: openAIAgent({ apiKey: process.env.OPENAI_API_KEY })'
  },
  {
    what: 'openAIAgent for Azure without a key, and with headers that hold none',
    make: () => openAIAgent({ azure: { endpoint: 'https://desk.openai.azure.com' }, headers: { 'x-team': 'a' } }),
    error: 'AZURE_OPENAI_API_KEY (option openai.azure.apiKey) is missing'
  },
  ...[5, null, 'canary', ['canary'], cycle, { canary: 5n }].map((body, index) => ({ what: `openAIAgent with no object for its body, ${index}`, make: hasBody(body), error: NO_BODY })),
  { what: 'openAIAgent with a function for its body', make: hasBody(() => ({ top_p: 1 })), error: NO_BODY },
  { what: 'openAIAgent with messages in its body', make: hasBody({ messages: [] }), error: 'option openai.body must not have messages: the agent writes the conversation there' },
  { what: 'openAIAgent with a token limit in its body', make: hasBody({ max_completion_tokens: 5 }), error: 'option openai.body must not have max_completion_tokens: the option maxTokens sets it' },
  { what: 'openAIAgent with several answers in its body', make: hasBody({ n: 2 }), error: 'option openai.body must not have n: only one answer can be spoken' },

  {
    what: 'failover of one agent',
    make: () => failover([scriptedAgent]),
    error: 'failover: agents must be two functions or more: failover([first, second])'
  },
  {
    what: 'failover of agents that are no list',
    make: () => failover(scriptedAgent as never, scriptedAgent as never),
    error: 'failover: agents must be two functions or more: failover([first, second])'
  },
  {
    what: 'failover with a letter too few',
    make: fails({ coldownMs: 1 }),
    error: 'failover: option coldownMs is not known (did you mean "cooldownMs"?)'
  },
  {
    what: 'failover with an unknown option',
    make: fails({ retries: 1 }),
    error: 'failover: option retries is not known; known are firstTokenMs, cooldownMs, probe'
  },
  {
    what: 'failover with a wrong time',
    make: fails({ cooldownMs: 0 }),
    error: 'failover: cooldownMs must be milliseconds above 0, at most 2147483647'
  },
  {
    what: 'failover with a wrong probe',
    make: fails({ probe: true }),
    error: 'failover: probe must be a function or false'
  }
])
