// Signs one delivery with the library of the provider in the argument, and prints the
// secret, the headers and the body as JSON.
import { randomBytes } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { sign } from '@octokit/webhooks-methods'
import Stripe from 'stripe'

const text = (n) => randomBytes(n).toString('base64url')
const now = Math.floor(Date.now() / 1000)
const body = JSON.stringify({ id: text(9), type: 'thing.created', note: 'Grüße – 世界 🚀 ' + text(20) })

const providers = {
  async github() {
    const secret = text(24)
    return { secret, headers: { 'X-Hub-Signature-256': await sign(secret, body) } }
  },
  stripe() {
    const secret = 'whsec_' + text(24)
    return { secret, headers: { 'Stripe-Signature': Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: now }) } }
  },
  'standard-webhooks'() {
    const secret = 'whsec_' + randomBytes(32).toString('base64'), id = 'msg_' + text(12)
    const signature = new Webhook(secret).sign(id, new Date(now * 1000), body)
    return { secret, headers: { 'webhook-id': id, 'webhook-timestamp': String(now), 'webhook-signature': signature } }
  },
}

const { secret, headers } = await providers[process.argv[2]]()
const all = { 'Content-Type': 'application/json', ...headers }
process.stdout.write(JSON.stringify({ secret, body, headers: Object.fromEntries(Object.entries(all).map(([name, value]) => [name, [value]])) }))
