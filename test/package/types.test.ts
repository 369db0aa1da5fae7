import { copyFile, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { installStrict } from './package.js'

t.test('with a bundler an app and a library compile against the packed types, which have no errors of their own', async t => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'types-')))
  t.teardown(() => rm(folder, { recursive: true }))
  await installStrict(folder)
  const files = ['app.ts', 'library.ts'].map(name => join(folder, name))
  for (const file of files) await copyFile(join('test/package/consumers', basename(file)), file)

  const program = ts.createProgram(files, {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2023.d.ts'],
    types: ['node'],
    typeRoots: [join(folder, 'node_modules/@types')],
    strict: true,
    exactOptionalPropertyTypes: true,
    declaration: true,
    skipLibCheck: false
  })
  // Those of other packages are checked by `npm run test:package`, which takes its time.
  const checked = program.getSourceFiles()
    .filter(({ fileName }) => files.includes(fileName) || fileName.includes('/fastify-voice-agent/dist/'))
  t.ok(checked.length > 20)
  t.strictSame([...program.getOptionsDiagnostics(), ...checked.flatMap(file => [
    ...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file), ...program.getDeclarationDiagnostics(file)
  ])].map(describe), [])

  // What the library declares needs no package that its users have not installed.
  let declared = ''
  program.emit(program.getSourceFile(files[1]!), (_name, text) => { declared = text }, undefined, true)
  t.match(declared, /export declare const order: .*\bTObject</)
  t.match(declared, /export declare const bake: .*\bTool</)
  t.notMatch(declared, /typebox|@fastify/)
})

function describe ({ file, start = 0, messageText }: ts.Diagnostic): string {
  const place = file === undefined ? '' : `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1} `
  return place + ts.flattenDiagnosticMessageText(messageText, '\n')
}
