import t from 'tap'
import ts from 'typescript'
import { compile } from './helpers/compile.js'

t.test('a user\'s app compiles against the published types, and a wrong one does not', async t => {
  const program = compile(['test/types/consumer.ts'], {
    // `ws` is not among them.
    types: ['node'],
    noPropertyAccessFromIndexSignature: true,
    skipLibCheck: false
  })
  const errors = ts.getPreEmitDiagnostics(program).map(error => {
    const place = error.file === undefined ? '' : `${error.file.fileName}:${error.file.getLineAndCharacterOfPosition(error.start ?? 0).line + 1} `
    return place + ts.flattenDiagnosticMessageText(error.messageText, '\n')
  })
  t.strictSame(errors, [])
  const files = program.getSourceFiles().map(({ fileName }) => fileName)
  t.ok(files.some(file => file.endsWith('dist/index.d.ts')), 'what is compiled against is what is published')
  t.strictSame(files.filter(file => /node_modules\/(@types\/ws|@fastify\/websocket|openai|undici)\//.test(file)), [],
    'nobody needs the types of what the plugin uses inside')
})
