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
	// mostAnswer is the longest response body that the relay accepts.
	mostAnswer = 1 << 20
	// answerFor is how long to try to return a response: after a reload or a
	// change of network the relay still waits for it.
	answerFor = 30 * time.Second
	// attemptFor is the time limit of one attempt, because the connection may be
	// dead. A large response may take longer.
	attemptFor = 5 * time.Second
	// slowest is the slowest connection over which responses are returned, in
	// bytes a second.
	slowest = 16 << 10
)

// deliver sends one delivery to the app and returns the app's response. It continues
// if the connection that the delivery came over ends.
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
		// The provider must not wait for a response that will not come.
		_ = l.handIn(ctx, e.ID, noAnswer(refused)) // it can fail for the same reason
	}
	if err != nil {
		d.Error = err.Error()
	}
	l.report(Report{Kind: Delivered, Delivery: d})
}

// forward sends the delivery to the app, and returns its response in wire format.
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
		return nil, errors.New("the delivery is incomplete")
	}
	out, err := http.NewRequestWithContext(ctx, r.Method, l.target(r.URL), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header = r.Header
	if _, there := out.Header["User-Agent"]; !there {
		out.Header["User-Agent"] = nil // otherwise Go adds its own
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

// appError omits the method and URL, which are known.
func appError(err error) error {
	if of, ok := errors.AsType[*url.Error](err); ok {
		err = of.Err
	}
	return fmt.Errorf("the app did not respond: %w", err)
}

// wire returns a response in the format of HTTP/1.1.
func wire(resp *http.Response) ([]byte, error) {
	if resp.StatusCode < 200 || resp.StatusCode > 599 {
		return nil, fmt.Errorf("the app responded with %d, which is not a final status", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("the app's response ended unexpectedly: %w", err)
	}
	if len(body) > mostAnswer {
		return nil, fmt.Errorf("the app's response is longer than %d bytes, the limit of a relay", mostAnswer)
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

// noAnswer is the response if the app gave none: a failure, so that the provider
// retries.
func noAnswer(err error) []byte {
	text := strings.NewReplacer("\r", " ", "\n", " ").Replace(err.Error())
	return fmt.Appendf(nil, "HTTP/1.1 502 Bad Gateway\r\nWebhook-Relay-Error: %s\r\nContent-Length: 0\r\n\r\n", text)
}

// refusedError is the error for a response that the relay, or a proxy in front of
// it, does not accept.
type refusedError struct{ status int }

// Error implements error.
func (e refusedError) Error() string {
	return fmt.Sprintf("the relay refused the app's response with %d, so the provider may resend the delivery", e.status)
}

// handIn returns the response to the relay, with retries.
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
			return errors.New("the response came too late: the relay no longer waits for it, so the provider may resend the delivery")
		case err == nil && status < 500 && status != http.StatusTooManyRequests:
			return refusedError{status}
		}
		select {
		case <-ctx.Done():
			return errors.New("the response could not be returned, so the provider may resend the delivery")
		case <-time.After(pause):
		}
	}
}
