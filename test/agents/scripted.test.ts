import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { scriptedAgent } from '../../lib/agents/scripted.js'
import { fakeTurn } from '../helpers/fake-turn.js'

const app = {} as FastifyInstance

t.test('the scripted agent greets', async t => {
  t.equal(scriptedAgent.call(app, fakeTurn({ reason: 'greeting' })), 'How may I help you?')
})

t.test('the scripted agent asks the caller to repeat any words', async t => {
  t.equal(scriptedAgent.call(app, fakeTurn({ reason: 'response' })), 'I am sorry, can you say that again?')
})

t.test('the scripted agent asks a silent caller to repeat', async t => {
  t.equal(scriptedAgent.call(app, fakeTurn({ reason: 'reminder' })), 'I am sorry, can you say that again?')
})
