// Receives webhooks of every provider. Caddy signs all of them in one format.
import express from 'express'
import { Webhook } from 'standardwebhooks'

const app = express()
const signed = new Webhook(process.env.APP_SECRET)

app.post('/webhooks/:provider', express.text({ type: '*/*', limit: '25mb' }), (req, res) => {
  let event
  try {
    event = signed.verify(req.body, req.headers)
  } catch {
    return res.sendStatus(401) // the request bypassed Caddy
  }
  console.log(`signed delivery ${req.get('Webhook-Id')} of ${req.params.provider}: ${event.action}`)
  res.sendStatus(204)
})

app.listen(process.env.PORT ?? 3000, '127.0.0.1')
