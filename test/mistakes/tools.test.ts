/**
 * What is answered to mistakes with the options of tools.
 */
import { endCallTool, tool, transferCallTool, Type } from '../../lib/index.js'
import { testCalls } from './table.js'

const OPTIONS = 'name, description, parameters, jsonSchema, execute, say, filler, fillerMs, timeoutMs, ' +
  'sideEffects, idempotent, onSupersede, reuse, strict'
const TYPE = 'tool look: parameters must be a Type.Object({ … }), a JSON Schema of type object, or a Standard Schema'

const looks = (options: object) => () => tool({
  name: 'look', description: 'Looks.', parameters: Type.Object({ day: Type.String() }), execute () {}, ...options
})

testCalls([
  {
    what: 'a tool of nothing',
    make: () => tool(undefined as never),
    error: 'tool: options must be an object: tool({ name, description, parameters, execute })'
  },
  { what: 'a tool without a name', make: looks({ name: undefined }), error: 'tool: name must be letters, digits, _ and -, at most 64' },
  {
    what: 'a tool with a blank in its name',
    make: looks({ name: 'look up' }),
    error: 'tool: name must be letters, digits, _ and -, at most 64'
  },
  {
    what: 'a tool without a description',
    make: looks({ description: '' }),
    error: 'tool look: description must be a string with something in it: by it the model decides when to call the tool'
  },
  { what: 'a tool without parameters', make: looks({ parameters: undefined }), error: `${TYPE}; Type.Object({}) where it takes none` },
  { what: 'a tool whose parameters are a text', make: looks({ parameters: 'day' }), error: TYPE },
  {
    what: 'a tool whose parameters are one of an old Zod 3',
    make: looks({ parameters: { _def: {} } }),
    error: `${TYPE}; Zod has it since 3.24`
  },
  {
    what: 'a tool whose parameters are a JSON Schema of a list',
    make: looks({ parameters: { type: 'array' } }),
    error: `${TYPE}; type is missing, or another one`
  },
  {
    what: 'a tool whose parameters are a JSON Schema without a type',
    make: looks({ parameters: { properties: {} } }),
    error: `${TYPE}; type is missing, or another one`
  },
  {
    what: 'a tool whose parameters are members alone',
    make: looks({ parameters: { day: Type.String() } }),
    error: `${TYPE}, not the members alone`
  },
  { what: 'a tool whose parameters are another type', make: looks({ parameters: Type.String() }), error: `${TYPE}, not a Type.String()` },
  {
    what: 'a tool with an enum',
    make: looks({ parameters: Type.Object({ day: Type.Unsafe({ enum: ['Monday'] }) }) }),
    error: 'tool look: parameters has an enum, which is not checked: use Type.Union() of Type.Literal()'
  },
  {
    what: 'a tool with a date',
    make: looks({ parameters: Type.Object({ day: Type.Date() }) }),
    error: 'tool look: parameters has a Date, which no model can write: take a string and convert it in execute'
  },
  {
    what: 'a tool without execute',
    make: looks({ execute: undefined }),
    error: 'tool look: execute must be a function that does the work: execute (args, { signal }) { … }'
  },
  {
    what: 'a tool with a letter missing',
    make: looks({ excute () {} }),
    error: 'tool look: option excute is not known (did you mean "execute"?)'
  },
  {
    what: "a tool with another SDK's option",
    make: looks({ inputSchema: {} }),
    error: `tool look: option inputSchema is not known; known are ${OPTIONS}`
  },
  {
    what: 'a tool with a number to say',
    make: looks({ say: 1 }),
    error: "tool look: say must be a string, a function of the arguments, or { parameter: 'message' }"
  },
  {
    what: 'a tool that says one of its own parameters',
    make: looks({ say: { parameter: 'day' } }),
    error: 'tool look: say names a parameter that the tool has by itself'
  },
  { what: 'a tool with a number for a filler', make: looks({ filler: 1 }), error: 'tool look: filler must be a string or a function' },
  {
    what: 'a tool with a wait that is none',
    make: looks({ fillerMs: '2 s' }),
    error: 'tool look: fillerMs must be milliseconds, at most 2147483647'
  },
  {
    what: 'a tool without any time',
    make: looks({ timeoutMs: 0 }),
    error: 'tool look: timeoutMs must be milliseconds above 0, at most 2147483647'
  },
  { what: 'a tool with a text for true', make: looks({ sideEffects: 'yes' }), error: 'tool look: sideEffects must be true or false' },
  { what: 'a tool with another text for true', make: looks({ idempotent: 'yes' }), error: 'tool look: idempotent must be true or false' },
  {
    what: 'a tool that is stopped in a wrong way',
    make: looks({ onSupersede: 'stop' }),
    error: 'tool look: onSupersede must be finish or cancel'
  },
  { what: 'a tool with a wrong reuse', make: looks({ reuse: 'never' }), error: 'tool look: reuse must be call or turn' },
  { what: 'a tool with a wrong strict', make: looks({ strict: 1 }), error: 'tool look: strict must be true or false' },
  {
    what: 'a ready-made tool with an unknown option',
    make: () => endCallTool({ nam: 'bye' } as never),
    error: 'endCallTool: option nam is not known (did you mean "name"?)'
  },
  {
    what: 'a tool of transfers with an unknown option',
    make: () => transferCallTool({ destinations: { sales: '+14155550111' }, showcaller: true } as never),
    error: 'transferCallTool: option showcaller is not known (did you mean "showCaller"?)'
  },
  {
    what: 'a tool of transfers to nobody',
    make: () => transferCallTool({ destinations: {} }),
    error: 'transferCallTool: destinations must name one at least'
  }
])
