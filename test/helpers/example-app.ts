import { readFileSync } from 'node:fs'

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<'start' | 'dial', string> }

/** The arguments that `npm start` or `npm run dial` give to `node`. */
export function argumentsOf (script: 'start' | 'dial'): string[] {
  const [node, ...args] = scripts[script].split(' ')
  if (node !== 'node') throw new Error(`npm run ${script} runs ${node}`)
  return args
}

/** The same for the example app as the tests have it compiled, which starts twice as fast. */
export function compiledArgumentsOf (script: 'start' | 'dial'): string[] {
  return argumentsOf(script).join(' ').replace(/--import tsx (example-app\/\w+)\.ts/, '.build/$1.js').split(' ')
}
