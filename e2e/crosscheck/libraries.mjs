// The vendors' libraries from npm: the preset of each, and functions that verify and, if
// the library can, sign. Versions are in package.json.
//
// verify accepts a delivery: method, url, path (with query), headers (lower-case names),
// body (a Buffer), text, secret, label and options (the provider as in Caddy's config).
// It returns whether the library accepts the delivery, or throws if it refuses it.
// secretPrefix: the required prefix of secrets. own: the library accepts only bodies in
// the provider's format. empty: it accepts an empty body.
// sign accepts a body and the time in seconds. It returns the provider's config and the
// headers, and the URL and the body if they differ.
import { createSecretKey, randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const origin = 'https://hooks.example.com'
const json = { 'Content-Type': 'application/json' }
const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
const text = (n) => randomBytes(n).toString('base64url')
const whsec = () => 'whsec_' + randomBytes(32).toString('base64')
const secretOf = (secret) => ({ secrets: [{ secret }] })
const fields = (d) => Object.fromEntries(new URLSearchParams(d.text))
const quiet = async (promise) => { await promise; return true } // throws if the library refuses

function hubspot(d, signatureVersion, signature) {
  const { Signature } = require('@hubspot/api-client')
  return Signature.isValid({ signatureVersion, signature, method: d.method, url: d.url, requestBody: d.text, clientSecret: d.secret, timestamp: Number(d.headers['x-hubspot-request-timestamp']) })
}

export const libraries = {
  '@adyen/api-library': {
    preset: 'adyen', own: true,
    verify(d) {
      const { hmacValidator } = require('@adyen/api-library')
      const item = JSON.parse(d.text).notificationItems[0].NotificationRequestItem
      return new hmacValidator().validateHMAC(item, d.secret)
    },
  },
  '@adyen/api-library (platform)': {
    preset: 'adyen-platform',
    verify(d) {
      const { hmacValidator } = require('@adyen/api-library')
      return new hmacValidator().validateHMACSignature(d.secret, d.headers.hmacsignature, d.text)
    },
  },
  '@anthropic-ai/sdk': {
    preset: 'anthropic',
    async verify(d) {
      const { default: Anthropic } = await import('@anthropic-ai/sdk')
      return quiet(new Anthropic({ apiKey: 'test' }).beta.webhooks.unwrap(d.text, { headers: d.headers, key: d.secret }))
    },
  },
  '@apple/app-store-server-library': {
    preset: 'apple-app-store', own: true,
    async verify(d) {
      const { Environment, SignedDataVerifier } = require('@apple/app-store-server-library')
      const roots = d.options.roots.map((pem) => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64'))
      const verifier = new SignedDataVerifier(roots, false, Environment.PRODUCTION, d.options.bundle_id, 41234)
      return quiet(verifier.verifyAndDecodeNotification(JSON.parse(d.text).signedPayload))
    },
  },
  '@atlassian/atlassian-jwt': {
    preset: 'atlassian-connect', empty: true,
    sign(body, now) {
      const jwt = require('@atlassian/atlassian-jwt')
      const secret = text(32), path = '/jira/updated?user=' + text(6) + '&a=2'
      const qsh = jwt.createQueryStringHash(jwt.fromMethodAndUrl('POST', path))
      const token = jwt.encodeSymmetric({ iss: 'client-1', iat: now, exp: now + 180, qsh }, secret)
      return { config: { ...secretOf(secret), issuers: ['client-1'] }, url: origin + path, headers: { Authorization: 'JWT ' + token } }
    },
    verify(d) {
      const jwt = require('@atlassian/atlassian-jwt')
      const claims = jwt.decodeSymmetric(d.headers.authorization.slice('JWT '.length), d.secret, jwt.SymmetricAlgorithm.HS256)
      return claims.qsh === jwt.createQueryStringHash(jwt.fromMethodAndUrl(d.method, d.path))
    },
  },
  '@clerk/backend': {
    preset: 'clerk',
    async verify(d) {
      const { verifyWebhook } = require('@clerk/backend/webhooks')
      return quiet(verifyWebhook(new Request(d.url, { method: d.method, headers: d.headers, body: d.body }), { signingSecret: d.secret }))
    },
  },
  '@contentful/node-apps-toolkit': {
    preset: 'contentful',
    sign(body, now) {
      const { signRequest } = require('@contentful/node-apps-toolkit')
      const secret = text(48), path = '/in?a=1&b=%20' + text(4)
      const signed = signRequest(secret, { method: 'POST', path, headers: { ...json, 'X-Contentful-Topic': 'ContentManagement.Entry.publish' }, body }, now * 1000)
      return { config: secretOf(secret), url: origin + path, headers: { 'X-Contentful-Topic': 'ContentManagement.Entry.publish', ...signed } }
    },
    verify(d) {
      const { verifyRequest } = require('@contentful/node-apps-toolkit')
      return verifyRequest(d.secret, { method: d.method, path: d.path, headers: d.headers, body: d.text }, 120)
    },
  },
  '@dropbox/sign': {
    preset: 'dropbox-sign', own: true,
    verify(d) {
      const { EventCallbackHelper, EventCallbackRequest } = require('@dropbox/sign')
      const part = d.text.split('\r\n\r\n')[1].split('\r\n--')[0]
      return EventCallbackHelper.isValid(d.secret, EventCallbackRequest.init(JSON.parse(part)))
    },
  },
  '@easypost/api': {
    preset: 'easypost',
    verify(d) {
      const EasyPost = require('@easypost/api')
      return Boolean(new EasyPost('test').Utils.validateWebhook(d.body, d.headers, d.secret))
    },
  },
  '@hubspot/api-client (v1)': {
    preset: 'hubspot', variant: 'v1',
    verify: (d) => hubspot(d, 'v1', d.headers['x-hubspot-signature']),
  },
  '@hubspot/api-client (v2)': {
    preset: 'hubspot', variant: 'v2',
    verify: (d) => hubspot(d, 'v2', d.headers['x-hubspot-signature']),
  },
  '@hubspot/api-client (v3)': {
    preset: 'hubspot', variant: 'v3',
    verify: (d) => hubspot(d, 'v3', d.headers['x-hubspot-signature-v3']),
  },
  '@hygraph/utils': {
    preset: 'hygraph',
    sign(body) {
      const { generateWebhookSignature } = require('@hygraph/utils')
      const secret = text(24)
      return { config: secretOf(secret), headers: { 'gcms-signature': generateWebhookSignature({ rawPayload: body, secret }) } }
    },
    verify(d) {
      const { verifyWebhookSignature } = require('@hygraph/utils')
      return verifyWebhookSignature({ rawPayload: d.text, signature: d.headers['gcms-signature'], secret: d.secret })
    },
  },
  '@line/bot-sdk': {
    preset: 'line', empty: true,
    verify: (d) => require('@line/bot-sdk').validateSignature(d.body, d.secret, d.headers['x-line-signature']),
  },
  '@linear/sdk': {
    preset: 'linear',
    async verify(d) {
      const { LinearWebhookClient } = await import('@linear/sdk/webhooks')
      const { webhookTimestamp } = JSON.parse(d.text)
      return new LinearWebhookClient(d.secret).verify(d.body, d.headers['linear-signature'], webhookTimestamp)
    },
  },
  '@mux/mux-node': {
    preset: 'mux', empty: true,
    async verify(d) {
      const { default: Mux } = await import('@mux/mux-node')
      return quiet(new Mux({ tokenId: 'a', tokenSecret: 'b' }).webhooks.verifySignature(d.text, d.headers, d.secret))
    },
  },
  '@nangohq/node': {
    preset: 'nango',
    verify(d) {
      const { Nango } = require('@nangohq/node')
      return new Nango({ apiKey: 'test', webhookSigningKey: d.secret }).verifyIncomingWebhookRequest(d.text, d.headers)
    },
  },
  '@notionhq/client': {
    preset: 'notion',
    async sign(body) {
      const { signWebhookPayload } = require('@notionhq/client')
      const secret = 'secret_' + text(24)
      return { config: secretOf(secret), headers: { 'X-Notion-Signature': await signWebhookPayload({ body, verificationToken: secret }) } }
    },
    verify(d) {
      const { verifyWebhookSignature } = require('@notionhq/client')
      return verifyWebhookSignature({ body: d.text, signature: d.headers['x-notion-signature'], verificationToken: d.secret })
    },
  },
  '@octokit/webhooks-methods': {
    preset: 'github',
    async sign(body) {
      const { sign } = await import('@octokit/webhooks-methods')
      const secret = text(24)
      return { config: secretOf(secret), headers: { 'X-Hub-Signature-256': await sign(secret, body) } }
    },
    async verify(d) {
      const { verify } = await import('@octokit/webhooks-methods')
      return verify(d.secret, d.text, d.headers['x-hub-signature-256'])
    },
  },
  '@onfido/api': {
    preset: 'onfido',
    verify(d) {
      const { WebhookEventVerifier } = require('@onfido/api')
      return Boolean(new WebhookEventVerifier(d.secret).readPayload(d.body, d.headers['x-sha2-signature']))
    },
  },
  '@paddle/paddle-node-sdk': {
    preset: 'paddle',
    verify(d) {
      const { Paddle } = require('@paddle/paddle-node-sdk')
      return new Paddle('test').webhooks.isSignatureValid(d.text, d.secret, d.headers['paddle-signature'])
    },
  },
  '@polar-sh/sdk': {
    preset: 'polar', secretPrefix: 'polar_whs_', // it treats every secret as text, like secrets with this prefix
    verify(d) {
      const { validateEvent, WebhookVerificationError } = require('@polar-sh/sdk/webhooks')
      try {
        validateEvent(d.text, d.headers, d.secret)
      } catch (err) {
        if (err instanceof WebhookVerificationError || err instanceof SyntaxError) throw err // otherwise it is verified, but has an unknown type
      }
      return true
    },
  },
  '@sanity/webhook': {
    preset: 'sanity',
    async sign(body, now) {
      const { encodeSignatureHeader } = require('@sanity/webhook')
      const secret = text(24)
      return { config: secretOf(secret), headers: { 'sanity-webhook-signature': await encodeSignatureHeader(body, now * 1000, secret) } }
    },
    verify: (d) => require('@sanity/webhook').isValidSignature(d.text, d.headers['sanity-webhook-signature'], d.secret),
  },
  '@sendgrid/eventwebhook': {
    preset: 'sendgrid',
    verify(d) {
      const { EventWebhook } = require('@sendgrid/eventwebhook')
      const webhook = new EventWebhook()
      return webhook.verifySignature(webhook.convertPublicKeyToECDSA(d.secret), d.body, d.headers['x-twilio-email-event-webhook-signature'], d.headers['x-twilio-email-event-webhook-timestamp'])
    },
  },
  '@shopify/shopify-api': {
    preset: 'shopify',
    async verify(d) {
      await import('@shopify/shopify-api/adapters/node')
      const { shopifyApi } = await import('@shopify/shopify-api')
      const shopify = shopifyApi({ apiKey: 'key', apiSecretKey: d.secret, hostName: 'hooks.example.com', apiVersion: '2026-10', isEmbeddedApp: false, logger: { level: 0 } })
      // Required in every webhook, but not covered by the signature.
      const headers = { 'x-shopify-shop-domain': 'example.myshopify.com', 'x-shopify-api-version': '2026-10', ...d.headers }
      const result = await shopify.webhooks.validate({ rawBody: d.text, rawRequest: { method: d.method, url: d.path, headers }, rawResponse: {} })
      return result.valid || result.reason === 'missing_headers' && !result.missingHeaders.some((name) => /hmac/i.test(name))
    },
  },
  '@sinch/conversation': {
    preset: 'sinch-conversation',
    verify(d) {
      const { ConversationCallbackWebhooks } = require('@sinch/conversation')
      return new ConversationCallbackWebhooks(d.secret).validateAuthenticationHeader(d.headers, d.text, d.path, d.method)
    },
  },
  '@sinch/numbers': {
    preset: 'sinch-numbers',
    verify(d) {
      const { NumbersCallbackWebhooks } = require('@sinch/numbers')
      return new NumbersCallbackWebhooks(d.secret).validateAuthenticationHeader(d.headers, d.text, d.path, d.method)
    },
  },
  '@tryfinch/finch-api': {
    preset: 'finch', empty: true,
    async verify(d) {
      const { default: Finch } = await import('@tryfinch/finch-api')
      return quiet(new Finch({ accessToken: 'test' }).webhooks.verifySignature(d.text, d.headers, d.secret))
    },
  },
  '@vonage/jwt': {
    preset: 'vonage', empty: true,
    verify: (d) => require('@vonage/jwt').verifySignature(d.headers.authorization.slice('Bearer '.length), d.secret),
  },
  '@workos-inc/node': {
    preset: 'workos',
    async verify(d) {
      const { WorkOS } = require('@workos-inc/node')
      return new WorkOS('test').webhooks.verifyHeader({ payload: JSON.parse(d.text), sigHeader: d.headers['workos-signature'], secret: d.secret })
    },
  },
  braintree: {
    preset: 'braintree', own: true,
    sign() {
      const braintree = require('braintree')
      const privateKey = text(24), publicKey = text(12)
      const gateway = new braintree.BraintreeGateway({ environment: braintree.Environment.Sandbox, merchantId: 'm', publicKey, privateKey })
      const sample = gateway.webhookTesting.sampleNotification(braintree.WebhookNotification.Kind.SubscriptionWentActive, 'id-世界-' + text(6))
      const sent = { bt_signature: sample.bt_signature ?? sample.signature, bt_payload: sample.bt_payload ?? sample.payload }
      return { config: { secrets: [{ secret: privateKey, label: publicKey }] }, body: new URLSearchParams(sent).toString(), headers: { ...form } }
    },
    verify(d) {
      const braintree = require('braintree')
      const gateway = new braintree.BraintreeGateway({ environment: braintree.Environment.Sandbox, merchantId: 'm', publicKey: d.label, privateKey: d.secret })
      const { bt_signature, bt_payload } = fields(d)
      return quiet(gateway.webhookNotification.parse(bt_signature, bt_payload))
    },
  },
  'cashfree-pg': {
    preset: 'cashfree',
    verify(d) {
      const { Cashfree, CFEnvironment } = require('cashfree-pg')
      const cashfree = new Cashfree(CFEnvironment.SANDBOX, 'id', d.secret)
      return Boolean(cashfree.PGVerifyWebhookSignature(d.headers['x-webhook-signature'], d.text, d.headers['x-webhook-timestamp']))
    },
  },
  'coinbase-commerce-node': {
    preset: 'coinbase-commerce',
    verify(d) {
      const { Webhook } = require('coinbase-commerce-node')
      return Boolean(Webhook.verifyEventBody(d.text, d.headers['x-cc-webhook-signature'], d.secret))
    },
  },
  'discord-interactions': {
    preset: 'discord', empty: true,
    async verify(d) {
      const { verifyKey } = await import('discord-interactions')
      return verifyKey(d.body, d.headers['x-signature-ed25519'], d.headers['x-signature-timestamp'], Buffer.from(d.secret, 'base64').toString('hex'))
    },
  },
  dodopayments: {
    preset: 'dodo-payments',
    async verify(d) {
      const { default: DodoPayments } = await import('dodopayments')
      return quiet(new DodoPayments({ bearerToken: 'test' }).webhooks.unwrap(d.text, { headers: d.headers, key: d.secret }))
    },
  },
  'gocardless-nodejs': {
    preset: 'gocardless', empty: true,
    verify: (d) => (require('gocardless-nodejs/webhooks').verifySignature(d.text, d.secret, d.headers['webhook-signature']), true),
  },
  lithic: {
    preset: 'lithic', empty: true,
    async verify(d) {
      const { default: Lithic } = await import('lithic')
      return quiet(new Lithic({ apiKey: 'test' }).webhooks.verifySignature(d.text, d.headers, d.secret))
    },
  },
  messagebird: {
    preset: 'messagebird', empty: true,
    async verify(d) {
      const { verify } = require('messagebird/lib/webhook-signature-jwt')
      return quiet(verify(d.url, d.body, d.headers['messagebird-signature-jwt'], createSecretKey(Buffer.from(d.secret))))
    },
  },
  'onlinepayments-sdk-nodejs': {
    preset: 'worldline', own: true,
    async verify(d) {
      const sdk = require('onlinepayments-sdk-nodejs')
      const helper = sdk.webhooks.init({ getSecretKey: async (id) => { if (id !== d.label) throw new Error('unknown key'); return d.secret } })
      return Boolean(await helper.unmarshal(d.text, d.headers))
    },
  },
  openai: {
    preset: 'openai', empty: true,
    async verify(d) {
      const { default: OpenAI } = await import('openai')
      return quiet(new OpenAI({ apiKey: 'test' }).webhooks.verifySignature(d.text, d.headers, d.secret))
    },
  },
  'orb-billing': {
    preset: 'orb', empty: true,
    async verify(d) {
      const { default: Orb } = await import('orb-billing')
      return quiet(new Orb({ apiKey: 'test' }).webhooks.verifySignature(d.text, d.headers, d.secret))
    },
  },
  plivo: {
    preset: 'plivo', own: true,
    verify(d) {
      return require('plivo').validateV3Signature(d.method, d.url, d.headers['x-plivo-signature-v3-nonce'], d.secret, d.headers['x-plivo-signature-v3'], fields(d))
    },
  },
  'plivo (version 2)': {
    preset: 'plivo', variant: 'v2', own: true,
    verify: (d) => require('plivo').validateSignature(d.url, d.headers['x-plivo-signature-v2-nonce'], d.headers['x-plivo-signature-v2'], d.secret),
  },
  pusher: {
    preset: 'pusher',
    verify(d) {
      const Pusher = require('pusher')
      return new Pusher({ appId: '1', key: d.label, secret: d.secret }).webhook({ rawBody: d.text, headers: d.headers }).isValid()
    },
  },
  razorpay: {
    preset: 'razorpay',
    verify: (d) => require('razorpay').validateWebhookSignature(d.text, d.headers['x-razorpay-signature'], d.secret),
  },
  replicate: {
    preset: 'replicate',
    verify: (d) => require('replicate').validateWebhook({ headers: d.headers, body: d.text }, d.secret),
  },
  resend: {
    preset: 'resend',
    async verify(d) {
      const { Resend } = await import('resend')
      const headers = { id: d.headers['svix-id'], timestamp: d.headers['svix-timestamp'], signature: d.headers['svix-signature'] }
      return Boolean(new Resend('re_test').webhooks.verify({ payload: d.text, webhookSecret: d.secret, headers }))
    },
  },
  'retell-sdk': {
    preset: 'retell',
    async sign(body) {
      const { sign } = require('retell-sdk')
      const secret = text(24)
      return { config: secretOf(secret), headers: { 'X-Retell-Signature': await sign(body, secret) } }
    },
    verify: (d) => require('retell-sdk').verify(d.text, d.secret, d.headers['x-retell-signature']),
  },
  smartcar: {
    preset: 'smartcar',
    sign(body) {
      const smartcar = require('smartcar')
      const secret = text(24)
      return { config: secretOf(secret), headers: { 'SC-Signature': smartcar.hashChallenge(secret, body) } }
    },
    verify: (d) => require('smartcar').verifyPayload(d.secret, d.headers['sc-signature'], JSON.parse(d.text)),
  },
  'sns-validator': {
    preset: 'aws-sns', own: true,
    verify(d) {
      const https = require('node:https'), { Readable } = require('node:stream')
      https.get = (url, respond) => { // replaces the fetched certificate with the one that the receiver trusts
        const response = Readable.from(d.options.certificates)
        respond(Object.assign(response, { statusCode: 200 }))
        return response
      }
      const MessageValidator = require('sns-validator')
      return new Promise((resolve, reject) => new MessageValidator().validate(d.text, (err) => err ? reject(err) : resolve(true)))
    },
  },
  square: {
    preset: 'square',
    verify(d) {
      const { WebhooksHelper } = require('square')
      return WebhooksHelper.verifySignature({ requestBody: d.text, signatureHeader: d.headers['x-square-hmacsha256-signature'], signatureKey: d.secret, notificationUrl: d.url })
    },
  },
  standardwebhooks: {
    preset: 'standard-webhooks',
    async sign(body, now) {
      const { Webhook } = await import('standardwebhooks')
      const secret = whsec(), id = 'msg_' + text(12)
      const signature = new Webhook(secret).sign(id, new Date(now * 1000), body)
      return { config: secretOf(secret), headers: { 'webhook-id': id, 'webhook-timestamp': String(now), 'webhook-signature': signature } }
    },
    async verify(d) {
      const { Webhook } = await import('standardwebhooks')
      new Webhook(d.secret).verify(d.text, d.headers)
      return true
    },
  },
  stripe: {
    preset: 'stripe',
    async sign(body, now) {
      const { default: Stripe } = await import('stripe')
      const secret = 'whsec_' + text(24)
      const header = Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: now })
      return { config: secretOf(secret), headers: { 'Stripe-Signature': header } }
    },
    async verify(d) {
      const { default: Stripe } = await import('stripe')
      return Boolean(Stripe.webhooks.constructEvent(d.text, d.headers['stripe-signature'], d.secret))
    },
  },
  svix: {
    preset: 'svix',
    async sign(body, now) {
      const { Webhook } = await import('svix')
      const secret = whsec(), id = 'msg_' + text(12)
      const signature = new Webhook(secret).sign(id, new Date(now * 1000), body)
      return { config: secretOf(secret), headers: { 'svix-id': id, 'svix-timestamp': String(now), 'svix-signature': signature } }
    },
    async verify(d) {
      const { Webhook } = await import('svix')
      new Webhook(d.secret).verify(d.text, d.headers)
      return true
    },
  },
  telnyx: {
    preset: 'telnyx',
    async verify(d) {
      const { default: Telnyx } = await import('telnyx')
      return quiet(new Telnyx({ apiKey: 'test', publicKey: d.secret }).webhooks.unwrap(d.text, { headers: d.headers }))
    },
  },
  twilio: {
    preset: 'twilio', own: true,
    sign() {
      const { getExpectedTwilioSignature } = require('twilio')
      const secret = text(24), url = origin + '/in?tenant=' + text(5)
      const params = { Body: 'Grüße 世界 ' + text(9), From: '+4915112345678', Empty: '', MessageSid: 'SM' + text(20) }
      return { config: secretOf(secret), url, body: new URLSearchParams(params).toString(), headers: { ...form, 'X-Twilio-Signature': getExpectedTwilioSignature(secret, url, params) } }
    },
    verify: (d) => require('twilio').validateRequest(d.secret, d.headers['x-twilio-signature'], d.url, fields(d)),
  },
  'webflow-api': {
    preset: 'webflow',
    async verify(d) {
      const { WebflowClient } = require('webflow-api')
      return new WebflowClient({ accessToken: 'test' }).webhooks.verifySignature({ headers: d.headers, body: d.text, secret: d.secret })
    },
  },
}
