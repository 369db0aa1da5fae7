import { pathToFileURL } from 'node:url'
import t from 'tap'
import { pageFolder } from '../../lib/playground/page-files.js'

t.test('the pages are where they are compiled to, for the compiled module and for its source', async t => {
  for (const folder of ['dist', 'lib']) {
    t.equal(pageFolder(pathToFileURL(`${folder}/playground/index.js`).href), `${process.cwd()}/dist/playground/page/`)
  }
})

t.test('an app whose bundle leaves the pages behind learns what to set', async t => {
  // A bundle that is CommonJS knows no URL.
  for (const url of [pathToFileURL('/srv/bundle/app.mjs').href, undefined]) {
    t.throws(() => pageFolder(url), { code: 'VOICE_AGENT_ERR_CONFIG', message: /mark fastify-voice-agent as external, or set enabled: false$/ })
  }
})
