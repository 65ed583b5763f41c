// Verifies GitHub's deliveries in nginx. njs 0.7 has no shared memory between
// workers, so duplicates are not detected.
import crypto from 'crypto';

function verify(r) {
    const header = r.headersIn['X-Hub-Signature-256'];
    if (!header) {
        r.return(401);
        return;
    }
    const mac = crypto.createHmac('sha256', process.env.WEBHOOK_SECRET);
    if (header !== 'sha256=' + mac.update(r.requestBuffer || '').digest('hex')) {
        r.return(401);
        return;
    }
    r.internalRedirect('@app');
}

export default {verify};
