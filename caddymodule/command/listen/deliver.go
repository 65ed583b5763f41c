package listen

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/sse"
)

const (
	// mostAnswer is the longest body of an answer that the relay takes.
	mostAnswer = 1 << 20
	// answerFor is how long we try to hand in an answer: over a reload or a
	// change of network it is still waited for.
	answerFor = 30 * time.Second
	// attemptFor is how long one attempt may take: the connection may lead
	// nowhere. A long answer may take longer.
	attemptFor = 5 * time.Second
	// slowest is the slowest line that answers are handed in over, in bytes a
	// second.
	slowest = 16 << 10
)

// deliver sends one delivery to the app, and the app's answer back. It goes on
// when the connection that the delivery came over ends.
func (l *Listener) deliver(ctx context.Context, e sse.Event) {
	ctx = context.WithoutCancel(ctx)
	d := &Delivery{Outcome: "verified"}
	start := time.Now()
	answer, err := l.forward(ctx, d, e.Data)
	d.Milliseconds = float64(time.Since(start).Microseconds()) / 1000
	if err != nil {
		d.Error = err.Error()
		answer = noAnswer(err)
	}
	err = l.handIn(ctx, e.ID, answer)
	if refused, ok := errors.AsType[refusedError](err); ok {
		// The provider must not wait for what will not come.
		_ = l.handIn(ctx, e.ID, noAnswer(refused)) // it fails as the answer did
	}
	if err != nil {
		d.Error = err.Error()
	}
	l.report(Report{Kind: Delivered, Delivery: d})
}

// forward sends the delivery to the app, and returns its answer as it is on the
// wire.
func (l *Listener) forward(ctx context.Context, d *Delivery, data []byte) ([]byte, error) {
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(data)))
	n, err := base64.StdEncoding.Decode(raw, data) // which skips line breaks
	if err != nil {
		return nil, errors.New("the delivery is not base64")
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw[:n])))
	if err != nil {
		return nil, errors.New("the delivery is not an HTTP request")
	}
	d.Method, d.Path, d.Size = r.Method, r.URL.RequestURI(), r.ContentLength
	d.Provider, d.Event = r.Header.Get("Webhook-Verified-Provider"), r.Header.Get("Webhook-Verified-Event")
	d.ID, d.Key = r.Header.Get("Webhook-Verified-Id"), r.Header.Get("Webhook-Verified-Key")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, errors.New("the delivery is cut off")
	}
	out, err := http.NewRequestWithContext(ctx, r.Method, l.target(r.URL), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header = r.Header
	if _, there := out.Header["User-Agent"]; !there {
		out.Header["User-Agent"] = nil // or Go would add its own
	}
	resp, err := l.Local.Do(out)
	if err != nil {
		return nil, appError(err)
	}
	defer resp.Body.Close()
	d.Status = resp.StatusCode
	return wire(resp)
}

// target is the URL that a delivery goes to.
func (l *Listener) target(sent *url.URL) string {
	to := *l.To
	if to.Path == "" {
		to.Path, to.RawPath = sent.Path, sent.RawPath
	}
	if to.RawQuery == "" {
		to.RawQuery = sent.RawQuery
	}
	return to.String()
}

// appError leaves the method and URL out, which the reader knows.
func appError(err error) error {
	if of, ok := errors.AsType[*url.Error](err); ok {
		err = of.Err
	}
	return fmt.Errorf("the app did not answer: %w", err)
}

// wire returns an answer in the form that HTTP/1.1 has.
func wire(resp *http.Response) ([]byte, error) {
	if resp.StatusCode < 200 || resp.StatusCode > 599 {
		return nil, fmt.Errorf("the app has answered %d, which is no status that ends a request", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("the app's answer has broken off: %w", err)
	}
	if len(body) > mostAnswer {
		return nil, fmt.Errorf("the app's answer is longer than %d bytes, which a relay does not carry", mostAnswer)
	}
	var out bytes.Buffer
	header := resp.Header.Clone()
	for _, name := range []string{"Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Keep-Alive"} {
		header.Del(name)
	}
	fmt.Fprintf(&out, "HTTP/1.1 %03d %s\r\n", resp.StatusCode, http.StatusText(resp.StatusCode))
	_ = header.Write(&out) // to memory
	fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n", len(body))
	out.Write(body)
	return out.Bytes(), nil
}

// noAnswer is the answer where the app gave none: a failure, so that the
// provider tries again.
func noAnswer(err error) []byte {
	text := strings.NewReplacer("\r", " ", "\n", " ").Replace(err.Error())
	return fmt.Appendf(nil, "HTTP/1.1 502 Bad Gateway\r\nWebhook-Relay-Error: %s\r\nContent-Length: 0\r\n\r\n", text)
}

// refusedError is the error of an answer that the relay, or a proxy in front of
// it, does not take.
type refusedError struct{ status int }

// Error implements error.
func (e refusedError) Error() string {
	return fmt.Sprintf("the relay has refused the app's answer with %d, so the provider may send the delivery again", e.status)
}

// handIn gives the answer to the relay, again and again for a while.
func (l *Listener) handIn(ctx context.Context, id string, answer []byte) error {
	upload := time.Duration(len(answer)) * time.Second / slowest
	ctx, cancel := context.WithTimeout(ctx, answerFor+upload)
	defer cancel()
	for pause := leastPause; ; pause = min(2*pause, mostPause) {
		status, err := l.post(ctx, "answer="+url.QueryEscape(id), bytes.NewReader(answer), attemptFor+upload)
		switch {
		case err == nil && status == http.StatusNoContent:
			return nil
		case err == nil && status == http.StatusGone:
			return errors.New("the answer came too late: nobody waits for it any more, so the provider may send the delivery again")
		case err == nil && status < 500 && status != http.StatusTooManyRequests:
			return refusedError{status}
		}
		select {
		case <-ctx.Done():
			return errors.New("the answer could not be handed in, so the provider may send the delivery again")
		case <-time.After(pause):
		}
	}
}
