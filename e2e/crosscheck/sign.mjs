// Signs deliveries as providers do, each with the vendor's own library: where it
// can sign, it does; where it can only verify, it must accept what is signed here.
// Writes a JSON array of vectors, with what the signature covers: those of the providers
// that its arguments name, or of all.
import { createHash, createHmac, createSecretKey, generateKeyPairSync, randomBytes, sign as signWith } from 'node:crypto'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
let now
const origin = 'https://hooks.example.com'
const json = { 'Content-Type': 'application/json' }
const form = { 'Content-Type': 'application/x-www-form-urlencoded' }

const text = (n) => randomBytes(n).toString('base64url')
const hmac = (hash, key, ...parts) => parts.reduce((h, p) => h.update(p), createHmac(hash, key))
const whsec = () => 'whsec_' + randomBytes(32).toString('base64')
const sha256 = (data) => createHash('sha256').update(data).digest('hex')
const jws = (claims, key) => {
  const head = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString('base64url') + '.' + Buffer.from(JSON.stringify(claims)).toString('base64url')
  return head + '.' + hmac('sha256', key, head).digest('base64url')
}
const must = (ok, what) => { if (!ok) throw new Error('the library refuses what is signed here: ' + what) }

// Bodies: random text beyond ASCII, nothing, and a mebibyte.
const document = (size) => JSON.stringify({ id: text(9), type: 'thing.created', note: 'Grüße – 世界 🚀 ' + text(20), filling: text(size) })
const bodies = { utf8: () => document(10), empty: () => '', mebibyte: () => document(786 * 1024) }

// Each provider returns what was sent: the options of Caddy's provider, headers, and the names of headers
// that the signature covers. `only` names the bodies that the library takes.
const providers = {
  async stripe(body) {
    const { default: Stripe } = await import('stripe')
    const secret = 'whsec_' + text(24)
    const header = Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: now })
    return { config: { secrets: [{ secret }] }, headers: { 'Stripe-Signature': header } }
  },
  async github(body) {
    const { sign } = await import('@octokit/webhooks-methods')
    const secret = text(24)
    return { config: { secrets: [{ secret }] }, headers: { 'X-Hub-Signature-256': await sign(secret, body) } }
  },
  async 'standard-webhooks'(body) {
    const { Webhook } = await import('standardwebhooks')
    const secret = whsec(), id = 'msg_' + text(12)
    const signature = new Webhook(secret).sign(id, new Date(now * 1000), body)
    return { config: { secrets: [{ secret }] }, headers: { 'webhook-id': id, 'webhook-timestamp': String(now), 'webhook-signature': signature } }
  },
  async svix(body) {
    const { Webhook } = await import('svix')
    const secret = whsec(), id = 'msg_' + text(12)
    const signature = new Webhook(secret).sign(id, new Date(now * 1000), body)
    return { config: { secrets: [{ secret }] }, headers: { 'svix-id': id, 'svix-timestamp': String(now), 'svix-signature': signature } }
  },
  async resend(body) {
    const { Resend } = await import('resend')
    const secret = whsec(), id = 'msg_' + text(12)
    const key = Buffer.from(secret.slice(6), 'base64')
    const headers = { 'svix-id': id, 'svix-timestamp': String(now), 'svix-signature': 'v1,' + hmac('sha256', key, `${id}.${now}.`, body).digest('base64') }
    new Resend('re_test').webhooks.verify({ payload: body, webhookSecret: secret, headers: { id, timestamp: String(now), signature: headers['svix-signature'] } })
    return { config: { secrets: [{ secret }] }, headers }
  },
  async openai(body) {
    const { default: OpenAI } = await import('openai')
    const secret = whsec(), id = 'wh_' + text(12)
    const key = Buffer.from(secret.slice(6), 'base64')
    const headers = { 'webhook-id': id, 'webhook-timestamp': String(now), 'webhook-signature': 'v1,' + hmac('sha256', key, `${id}.${now}.`, body).digest('base64') }
    await new OpenAI({ apiKey: 'test' }).webhooks.verifySignature(body, headers, secret)
    return { config: { secrets: [{ secret }] }, headers }
  },
  async twilio() {
    const { getExpectedTwilioSignature } = require('twilio').default ?? require('twilio')
    const secret = text(24), url = origin + '/in?tenant=' + text(5)
    const params = { Body: 'Grüße 世界 ' + text(9), From: '+4915112345678', Empty: '', MessageSid: 'SM' + text(20) }
    const signature = getExpectedTwilioSignature(secret, url, params)
    return { config: { secrets: [{ secret }] }, url, covers: { url: true }, body: new URLSearchParams(params).toString(), headers: { ...form, 'X-Twilio-Signature': signature } }
  },
  async plivo() {
    const plivo = require('plivo')
    const secret = text(24), url = origin + '/in', nonce = text(12)
    const params = { CallUUID: text(20), From: '14155551234', Digits: '1234' }
    const content = url + '?' + Object.keys(params).sort().map((k) => k + params[k]).join('') + '.' + nonce
    const signature = hmac('sha256', secret, content).digest('base64')
    must(plivo.validateV3Signature('POST', url, nonce, secret, signature, params), 'plivo')
    return { config: { secrets: [{ secret }] }, url, covers: { url: true }, body: new URLSearchParams(params).toString(), headers: { ...form, 'X-Plivo-Signature-V3': signature, 'X-Plivo-Signature-V3-Nonce': nonce } }
  },
  async square(body) {
    const { WebhooksHelper } = require('square')
    const secret = text(24), url = origin + '/in'
    const signature = hmac('sha256', secret, url, body).digest('base64')
    must(await WebhooksHelper.verifySignature({ requestBody: body, signatureHeader: signature, signatureKey: secret, notificationUrl: url }), 'square')
    return { config: { secrets: [{ secret }] }, url, covers: { url: true }, headers: { 'x-square-hmacsha256-signature': signature } }
  },
  async contentful(body) {
    const { signRequest } = require('@contentful/node-apps-toolkit')
    const secret = text(48), path = '/in?a=1&b=%20' + text(4)
    const signed = signRequest(secret, { method: 'POST', path, headers: { ...json, 'X-Contentful-Topic': 'ContentManagement.Entry.publish' }, body }, now * 1000)
    return { config: { secrets: [{ secret }] }, url: origin + path, covers: { url: true }, headers: { 'X-Contentful-Topic': 'ContentManagement.Entry.publish', ...signed } }
  },
  async 'atlassian-connect'(body) {
    const jwt = require('@atlassian/atlassian-jwt')
    const secret = text(32), path = '/jira/updated?user=' + text(6) + '&a=2'
    const qsh = jwt.createQueryStringHash(jwt.fromMethodAndUrl('POST', path))
    const token = jwt.encodeSymmetric({ iss: 'client-1', iat: now, exp: now + 180, qsh }, secret)
    return { config: { secrets: [{ secret }], issuers: ['client-1'] }, url: origin + path, covers: { url: true, body: false }, headers: { Authorization: 'JWT ' + token } }
  },
  async sanity(body) {
    const { encodeSignatureHeader } = require('@sanity/webhook')
    const secret = text(24)
    return { config: { secrets: [{ secret }] }, headers: { 'sanity-webhook-signature': await encodeSignatureHeader(body, now * 1000, secret) } }
  },
  async hygraph(body) {
    const { generateWebhookSignature } = require('@hygraph/utils')
    const secret = text(24)
    return { config: { secrets: [{ secret }] }, headers: { 'gcms-signature': generateWebhookSignature({ rawPayload: body, secret }) } }
  },
  async notion(body) {
    const { signWebhookPayload } = require('@notionhq/client')
    const secret = 'secret_' + text(24)
    return { config: { secrets: [{ secret }] }, headers: { 'X-Notion-Signature': await signWebhookPayload({ body, verificationToken: secret }) } }
  },
  async paddle(body) {
    const { Paddle } = require('@paddle/paddle-node-sdk')
    const secret = 'pdl_ntfset_' + text(24)
    const header = `ts=${now};h1=` + hmac('sha256', secret, `${now}:`, body).digest('hex')
    must(await new Paddle('test').webhooks.isSignatureValid(body, secret, header), 'paddle')
    return { config: { secrets: [{ secret }] }, headers: { 'Paddle-Signature': header } }
  },
  async razorpay(body) {
    const Razorpay = require('razorpay')
    const secret = text(24), signature = hmac('sha256', secret, body).digest('hex')
    must(Razorpay.validateWebhookSignature(body, signature, secret), 'razorpay')
    return { config: { secrets: [{ secret }] }, headers: { 'X-Razorpay-Signature': signature } }
  },
  async line(body) {
    const { validateSignature } = require('@line/bot-sdk')
    const secret = text(24), signature = hmac('sha256', secret, body).digest('base64')
    must(validateSignature(body, secret, signature), 'line')
    return { config: { secrets: [{ secret }] }, headers: { 'x-line-signature': signature } }
  },
  async pusher(body) {
    const Pusher = require('pusher')
    const secret = text(24), key = 'key_' + text(6)
    const signature = hmac('sha256', secret, body).digest('hex')
    const headers = { 'content-type': 'application/json', 'x-pusher-key': key, 'x-pusher-signature': signature }
    must(new Pusher({ appId: '1', key, secret }).webhook({ rawBody: body, headers }).isValid(), 'pusher')
    return { config: { secrets: [{ secret, label: key }] }, headers: { 'X-Pusher-Key': key, 'X-Pusher-Signature': signature } }
  },
  async gocardless(body) {
    const { verifySignature } = require('gocardless-nodejs/webhooks')
    const secret = text(24), signature = hmac('sha256', secret, body).digest('hex')
    verifySignature(body, secret, signature)
    return { config: { secrets: [{ secret }] }, headers: { 'Webhook-Signature': signature } }
  },
  async 'coinbase-commerce'(body) {
    const { Webhook } = require('coinbase-commerce-node')
    const secret = text(24), signature = hmac('sha256', secret, body).digest('hex')
    Webhook.verifySigHeader(body, signature, secret)
    return { config: { secrets: [{ secret }] }, headers: { 'X-CC-Webhook-Signature': signature } }
  },
  async discord(body) {
    const { verifyKey } = await import('discord-interactions')
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('hex')
    const signature = signWith(null, Buffer.from(now + body), privateKey).toString('hex')
    must(await verifyKey(Buffer.from(body), signature, String(now), raw), 'discord')
    return { config: { secrets: [{ secret: raw }] }, headers: { 'X-Signature-Ed25519': signature, 'X-Signature-Timestamp': String(now) } }
  },
  async vonage(body) {
    const { verifySignature } = require('@vonage/jwt')
    const secret = text(40)
    const token = jws({ iat: now, jti: text(16), iss: 'Vonage', payload_hash: sha256(body), api_key: 'a1b2c3d' }, secret)
    must(verifySignature(token, secret), 'vonage')
    return { config: { secrets: [{ secret }] }, headers: { Authorization: 'Bearer ' + token } }
  },
  async messagebird(body) {
    const { verify } = require('messagebird/lib/webhook-signature-jwt')
    const secret = text(40), url = origin + '/in?tenant=' + text(5)
    const claims = { iss: 'MessageBird', nbf: now, exp: now + 60, jti: text(16), url_hash: sha256(url) }
    const token = jws(body === '' ? claims : { ...claims, payload_hash: sha256(body) }, secret)
    await verify(url, Buffer.from(body), token, createSecretKey(Buffer.from(secret)))
    return { config: { secrets: [{ secret }] }, url, covers: { url: true }, headers: { 'MessageBird-Signature-JWT': token } }
  },
  async braintree() {
    const braintree = require('braintree')
    const privateKey = text(24), publicKey = text(12)
    const gateway = new braintree.BraintreeGateway({ environment: braintree.Environment.Sandbox, merchantId: 'm', publicKey, privateKey })
    const sample = gateway.webhookTesting.sampleNotification(braintree.WebhookNotification.Kind.SubscriptionWentActive, 'id-世界-' + text(6))
    const sent = sample.bt_signature ?? sample.signature
    return { config: { secrets: [{ secret: privateKey, label: publicKey }] }, body: new URLSearchParams({ bt_signature: sent, bt_payload: sample.bt_payload ?? sample.payload }).toString(), headers: { ...form } }
  },
}

// Bodies that a library cannot sign or verify, though providers may send them.
const cannot = {
  github: ['empty'], // throws on it
  resend: ['empty'], // parses JSON after verifying
  sanity: ['empty'], // the provider sends none
  paddle: ['empty'], // throws on it
  square: ['empty'], // throws on it
  hygraph: ['empty'], // takes it for no body
  razorpay: ['empty'], // throws on it
  pusher: ['empty'], // parses JSON before verifying
  'coinbase-commerce': ['empty', 'utf8', 'mebibyte'].filter((kind) => kind === 'empty'), // parses JSON
  notion: ['empty'],
  twilio: ['empty', 'mebibyte'], plivo: ['empty', 'mebibyte'], braintree: ['empty', 'mebibyte'], // a form of their own
}

const vectors = []
const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(providers)
for (const [provider, make] of Object.entries(providers).filter(([provider]) => wanted.includes(provider))) {
  for (const [kind, body] of Object.entries(bodies)) {
    if (cannot[provider]?.includes(kind)) continue
    let text = body()
    now = Math.floor(Date.now() / 1000)
    if (provider === 'coinbase-commerce') text = text.replace('"type"', '"event":{"id":"1"},"type"')
    const made = await make(text).catch((err) => { throw new Error(`${provider}, ${kind}: ${err.message ?? err}`) })
    text = made.body ?? text
    const headers = { ...(made.headers['Content-Type'] ? {} : json), ...made.headers }
    vectors.push({
      covers: { body: true, url: false, ...made.covers },
      vector: {
        provider: { name: provider, ...made.config }, name: kind, now, expect: 'accept',
        request: {
          method: 'POST', url: made.url ?? origin + '/in', body_b64: Buffer.from(text).toString('base64'),
          headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [String(value)]])),
        },
      },
    })
  }
}
process.stdout.write(JSON.stringify(vectors))
