import neostandard, { plugins } from 'neostandard'

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
  }
]
