import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const { compilerOptions: { target, verbatimModuleSyntax } } = JSON.parse(readFileSync(new URL('../../tsconfig.json', import.meta.url), 'utf8'))
const compilerOptions = { target, verbatimModuleSyntax, module: 'es2022', inlineSourceMap: true, inlineSources: true }
const settings = JSON.stringify([require('typescript/package.json').version, compilerOptions])

const store = new URL('../../.tap/transpiled/', import.meta.url)
mkdirSync(store, { recursive: true })

const isFile = url => url.startsWith('file:')
const isPackage = url => url.includes('/node_modules/')
const isTypeScript = url => isFile(url) && url.endsWith('.ts') && !isPackage(url)

/** Finds the `.ts` of an import that says `.js`. */
export function resolve (specifier, context, nextResolve) {
  if (specifier.startsWith('.') && specifier.endsWith('.js') && isTypeScript(context.parentURL ?? '')) {
    const source = new URL(specifier.replace(/js$/, 'ts'), context.parentURL)
    if (existsSync(source)) return nextResolve(source.href, context)
  }
  return nextResolve(specifier, context)
}

/** Passes code on as if it had been read from disk: tap's own hook, further down, notes of it what coverage needs. */
export function load (url, context, nextLoad) {
  if (isTypeScript(url)) return nextLoad(url, { ...context, format: 'module', source: transpiled(fileURLToPath(url)) })
  if (isFile(url) && isPackage(url) && context.format === 'module') return nextLoad(url, { ...context, source: unmapped(fileURLToPath(url)) })
  return nextLoad(url, context)
}

/** What a file transpiles to, kept under all that it depends on. */
function transpiled (path) {
  const text = readFileSync(path, 'utf8')
  const key = createHash('sha256').update(JSON.stringify([settings, path, text])).digest('hex')
  const file = new URL(`${key}.js`, store)
  if (existsSync(file)) return readFileSync(file, 'utf8')

  const code = transpile(path, text)
  // Put in place whole: other processes may be reading.
  const draft = new URL(`${randomUUID()}.draft`, store)
  writeFileSync(draft, code)
  renameSync(draft, file)
  return code
}

function transpile (path, text) {
  const ts = require('typescript')
  const { outputText, diagnostics } = ts.transpileModule(text, { fileName: path, compilerOptions, reportDiagnostics: true })
  if (diagnostics.length > 0) throw new SyntaxError(ts.formatDiagnostics(diagnostics, ts.createCompilerHost({})))
  return outputText
}

/** A package's code without its source map, which nobody looks at and takes its time to be parsed in every process. */
function unmapped (path) {
  return readFileSync(path, 'utf8').replace(/\n\/\/# sourceMappingURL=.*\s*$/, '')
}
