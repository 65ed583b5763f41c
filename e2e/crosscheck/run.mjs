// Lists the libraries, signs with them, or verifies deliveries with them, for the tests of
// this directory:
//   node run.mjs list    prints a JSON object for each library
//   node run.mjs sign    reads {library, body_b64, now}, prints signed deliveries
//   node run.mjs judge   reads deliveries, prints {accepted, why}
// Input and output contain one JSON document per line.
import { createInterface } from 'node:readline'
import { libraries } from './libraries.mjs'

// Set the clock to the time of each delivery, so that a slow run does not make it stale.
const RealDate = Date
let now
globalThis.Date = class extends RealDate {
  constructor(...args) { args.length > 0 ? super(...args) : super(now) }
  static now() { return now }
}

const print = (value) => process.stdout.write(JSON.stringify(value) + '\n')
console.log = console.error // some libraries print to standard output

async function judge(d) {
  now = d.now * 1000
  const body = Buffer.from(d.body_b64, 'base64')
  const url = new URL(d.url)
  try {
    const accepted = await libraries[d.library].verify({ ...d, body, text: body.toString(), path: url.pathname + url.search })
    return { accepted: accepted === true, why: '' }
  } catch (err) {
    return { accepted: false, why: String(err?.message ?? err) }
  }
}

async function sign(job) {
  now = job.now * 1000
  const body = Buffer.from(job.body_b64, 'base64').toString()
  const made = await libraries[job.library].sign(body, job.now)
  return {
    config: made.config, url: made.url ?? '', body_b64: Buffer.from(made.body ?? body).toString('base64'),
    headers: { ...(made.headers['Content-Type'] ? {} : { 'Content-Type': 'application/json' }), ...made.headers },
  }
}

if (process.argv[2] === 'list') {
  for (const [name, row] of Object.entries(libraries)) {
    print({ name, preset: row.preset, variant: row.variant ?? '', secret_prefix: row.secretPrefix ?? '', own: row.own ?? false, empty: row.empty ?? false, signs: Boolean(row.sign) })
  }
} else {
  const answer = { sign, judge }[process.argv[2]]
  for await (const line of createInterface({ input: process.stdin })) {
    print(await answer(JSON.parse(line)))
  }
}
