import t from 'tap'
import { envSchema, envSchemaOf } from '../../lib/config/settings.js'
import { providers } from '../../lib/providers/index.js'

const variablesOf = (schema: { properties: object }): string[] => Object.keys(schema.properties)

t.test('the schema of an app with one provider has its variables and no other provider\'s', async t => {
  for (const { name, settings } of providers) {
    const others = providers.filter(provider => provider.name !== name).flatMap(({ settings }) => Object.keys(settings))
    const variables = variablesOf(envSchemaOf([name]))
    t.ok(Object.keys(settings).every(variable => variables.includes(variable)))
    t.strictSame(variables.filter(variable => others.includes(variable)), [])
    t.ok(variables.includes('MAX_CALLS'))
  }
})

t.test('the schema of all providers is the one that is exported', async t => {
  t.strictSame(variablesOf(envSchemaOf(providers.map(({ name }) => name))), variablesOf(envSchema))
})
