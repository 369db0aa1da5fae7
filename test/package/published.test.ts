import { mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runNode } from '../helpers/process.js'
import { installFlat, pack } from './package.js'

async function temporary (t: Test): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'published-')))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

t.test('what is published is what a user needs', async t => {
  const { files, unpackedBytes } = await pack(await temporary(t))
  const tops = [...new Set(files.map(path => path.split('/')[0]))]
  t.strictSame(tops.sort(), ['CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'docs', 'package.json'])
  // Sources and maps to them would be more than half of what is installed.
  t.strictSame(files.filter(path => /\.test\.|\.tsbuildinfo|\.env|node_modules|\.png|\.map$|(?<!\.d)\.ts$/.test(path)), [])
  const entries = ['cli/main', 'control/index', 'index', 'playground/index', 'testing/index']
  const modules = files.filter(path => /^dist\/(?!chunks\/|playground\/page\/).*\.js$/.test(path))
  t.strictSame(modules.sort(), entries.map(name => `dist/${name}.js`))
  for (const path of ['dist/index.d.ts', 'dist/playground/page/index.html', 'docs/SECURITY.md']) t.ok(files.includes(path), path)
  t.ok(unpackedBytes < 1_700_000, `${unpackedBytes} bytes`)
})

t.test('the published entries share their modules, and find what they need', async t => {
  const folder = await temporary(t)
  await installFlat(folder)
  const own = join(folder, 'node_modules/fastify-voice-agent')
  const program = join(folder, 'app.mjs')
  await writeFile(program, `
    import Fastify from 'fastify'
    import { Type as Own } from '@sinclair/typebox'
    import { ConfigError, FormatRegistry, tool, Type } from 'fastify-voice-agent'
    import { playground } from 'fastify-voice-agent/playground'
    // A schema of the app's own TypeBox, checked by the one in the package.
    FormatRegistry.Set('day', text => text.endsWith('day'))
    const parameters = Own.Object({ day: Own.String({ format: 'day' }), by: Type.Literal('phone') })
    const book = tool({ name: 'book', description: 'Books a table.', parameters, execute: () => 'booked' })
    for (const day of ['Tuesday', 'July']) console.log(Object.keys(book.read({ day, by: 'phone' })).join())
    const refused = await Fastify().register(playground, { token: '?' }).then(() => 'accepted', error => error)
    console.log(refused instanceof ConfigError)
    const app = Fastify()
    await app.register(playground, { enabled: true, token: 'token' })
    const { headers } = await app.inject({ url: '/?token=token', headers: { host: 'localhost' } })
    for (const url of ['/', '/playground/main.js']) {
      const page = await app.inject({ url, headers: { host: 'localhost', cookie: headers['set-cookie'].split(';')[0] } })
      console.log(page.statusCode, page.headers['content-type'])
    }
  `)
  const app = runNode(t, [program])
  t.equal(await app.exit, 0)
  t.equal(app.output(), 'args,spoken,compared\nerror\ntrue\n200 text/html; charset=utf-8\n200 text/javascript; charset=utf-8\n')

  const published = await Promise.all((await readdir(join(own, 'dist'), { recursive: true }))
    .filter(name => name.endsWith('.js')).map(async name => await readFile(join(own, 'dist', name), 'utf8')))
  t.notMatch(published.join('\n'), /^} from "@sinclair/m, 'TypeBox is part of the published files')

  const { bin } = JSON.parse(await readFile(join(own, 'package.json'), 'utf8')) as { bin: string }
  const help = runNode(t, [join(own, bin), '--help'])
  t.equal(await help.exit, 0)
  t.match(help.output(), /fastify-voice-agent call/)
})
