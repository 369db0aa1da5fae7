import t from 'tap'
import { bearerCheck } from '../../lib/admission/bearer.js'

/** Which of these headers pass. */
const passing = (tokens: string, headers: Array<string | undefined>) => headers.filter(authorization => bearerCheck(tokens)({ headers: { authorization } }))

t.test('a request with a valid token passes, however the scheme is written, and no other request does', async t => {
  t.strictSame(passing('token', [
    'Bearer token', 'bearer  token', 'BEARER token',
    undefined, '', 'Bearer', 'Bearer ', 'token', 'Basic token', 'Bearer toke', 'Bearer tokenn', 'Bearer token token', 'Bearer Token', 'xBearer token', 'Bearer\ttoken'
  ]), ['Bearer token', 'bearer  token', 'BEARER token'])
})

t.test('each of several tokens is valid by itself', async t => {
  t.strictSame(passing('old, new,', ['Bearer old', 'Bearer new', 'Bearer old,new', 'Bearer old, new', 'Bearer ,', 'Bearer ']), ['Bearer old', 'Bearer new'])
})

t.test('without configured tokens no request passes', async t => {
  for (const tokens of ['', ',', ' , ']) t.strictSame(passing(tokens, [undefined, '', 'Bearer', 'Bearer ', 'Bearer ,', 'Bearer undefined']), [], tokens)
})
