// Receives GitHub and Stripe webhooks. Caddy has verified and de-duplicated them.
import express from 'express'

const app = express()
app.use(express.json({ limit: '25mb' })) // parsing is safe: no signature check needs the raw body

app.post('/webhooks/github', (req, res) => {
  const id = req.get('Webhook-Verified-Id')
  const event = req.get('Webhook-Verified-Event')
  console.log(`github delivery ${id}: ${event} ${req.body.action ?? '-'}`)
  res.sendStatus(202)
})

app.post('/webhooks/stripe', (req, res) => {
  console.log(`stripe event ${req.body.id}: ${req.body.type}`)
  res.sendStatus(200)
})

app.listen(process.env.PORT ?? 3000, '127.0.0.1')
