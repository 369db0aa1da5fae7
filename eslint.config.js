import { readFileSync } from 'node:fs'
import neostandard, { plugins } from 'neostandard'

// The folders of lib, and the files beside them, from the roof to the ground. Each imports only from what stands below it.
const ROOMS = JSON.parse(readFileSync(new URL('test/house/rooms.json', import.meta.url), 'utf8'))

const arrowsDown = ROOMS.map((room, index) => ({
  files: [`lib/${room}/**/*.ts`, `lib/${room}.ts`],
  rules: {
    'no-restricted-imports': ['error', {
      patterns: [{
        regex: `^\\.{1,2}/(\\.\\./)*(${ROOMS.slice(0, index).join('|')})(/|\\.js$)`,
        message: 'An import leads down the list in test/house/rooms.json.'
      }]
    }]
  }
})).slice(1)

export default [
  ...neostandard({ ts: true, noJsx: true, ignores: ['dist', '.build', '.tap'] }),
  {
    // A TypeBox schema and the type made from it share a name.
    files: ['**/*.ts'],
    rules: { '@typescript-eslint/no-redeclare': 'off' }
  },
  {
    // The two typical bugs of this code: an async listener and a turn nobody catches.
    files: ['lib/**/*.ts'],
    languageOptions: { parserOptions: { project: ['tsconfig.json', 'lib/playground/page/tsconfig.json'] } },
    plugins: { '@typescript-eslint': plugins['typescript-eslint'].plugin },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }]
    }
  },
  ...arrowsDown,
  {
    // A call knows what codecs speak of, and no provider.
    files: ['lib/call/**/*.ts'],
    rules: {
      'no-restricted-imports': ['error', {
        patterns: [{ regex: '^\\.\\./(index|cli|playground|control|plugin|testing|server|config|providers/(?!codec\\.js))', message: 'A call knows the codec, and no provider.' }]
      }]
    }
  }
]
