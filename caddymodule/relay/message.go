package relay

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/internal/sse"
)

const (
	// mostAnswer bounds the body of an answer, mostHead its head.
	mostAnswer = 1 << 20
	mostHead   = 64 << 10
	// lineBytes is how much of a message one line of an event has: a multiple
	// of 3, so that the lines' base64 can be joined.
	lineBytes = 48 << 10
)

// message is a request as it goes to the listening machine: in the form that
// HTTP/1.1 has on the wire.
type message struct {
	head []byte
	size int64
	body func() (io.ReadCloser, error)
}

// hopByHop are the headers of one connection.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Proxy-Authenticate", "Proxy-Authorization", "Content-Length", "Host",
}

// newMessage copies the head of a request, and notes where its body is.
func newMessage(r *http.Request) message {
	header := r.Header.Clone()
	removeHopByHop(header)
	setForwarded(header, r)
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.URL.RequestURI(), r.Host)
	_ = header.Write(&head) // to memory
	fmt.Fprintf(&head, "Content-Length: %d\r\n\r\n", r.ContentLength)
	body := r.GetBody
	if body == nil {
		body = func() (io.ReadCloser, error) {
			return nil, errors.New("a handler between verify_webhook and webhook_relay has replaced the body")
		}
	}
	return message{head: head.Bytes(), size: r.ContentLength, body: body}
}

func removeHopByHop(header http.Header) {
	for _, line := range header["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		header.Del(name)
	}
}

// setForwarded says where the request came from, as reverse_proxy does: what a
// client says of that counts only if it is a trusted proxy.
func setForwarded(header http.Header, r *http.Request) {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if !trusted {
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
			header.Del(name)
		}
	}
	if prior := header["X-Forwarded-For"]; len(prior) > 0 {
		address = strings.Join(prior, ", ") + ", " + address
	}
	header.Set("X-Forwarded-For", address)
	if header.Get("X-Forwarded-Proto") == "" {
		proto := "http"
		if r.TLS != nil {
			proto = "https"
		}
		header.Set("X-Forwarded-Proto", proto)
	}
	if header.Get("X-Forwarded-Host") == "" {
		header.Set("X-Forwarded-Host", r.Host)
	}
}

// send writes the message as the lines of an event.
func (m message) send(to *sse.Stream, id string) error {
	return to.SendLines(sse.Event{Type: "delivery", ID: id}, func(line func([]byte) error) error {
		body, err := m.body()
		if err != nil {
			return err
		}
		defer body.Close()
		in := io.MultiReader(bytes.NewReader(m.head), io.LimitReader(body, m.size))
		raw, text := make([]byte, lineBytes), make([]byte, base64.StdEncoding.EncodedLen(lineBytes))
		total := 0
		for {
			n, err := io.ReadFull(in, raw)
			total += n
			if n > 0 {
				base64.StdEncoding.Encode(text, raw[:n])
				if err := line(text[:base64.StdEncoding.EncodedLen(n)]); err != nil {
					return err
				}
			}
			if err == nil {
				continue
			}
			if want := int64(len(m.head)) + m.size; int64(total) != want {
				return fmt.Errorf("the body has ended after %d of %d bytes: %w", total, want, err)
			}
			return nil
		}
	})
}

// answer is what the app on the listening machine has answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// readAnswer reads an answer in the form that HTTP/1.1 has on the wire.
func readAnswer(r io.Reader) (*answer, error) {
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(r, mostHead+mostAnswer+1)), nil)
	if err != nil {
		return nil, errors.New("the answer is not an HTTP response, or its head is too long")
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 599 {
		return nil, fmt.Errorf("%d is no status that ends a request", resp.StatusCode)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("the answer is cut off, or longer than %d bytes", mostAnswer)
	}
	if len(body) > mostAnswer {
		return nil, fmt.Errorf("the answer is longer than %d bytes", mostAnswer)
	}
	removeHopByHop(resp.Header)
	return &answer{resp.StatusCode, resp.Header, body}, nil
}

// write passes the answer on.
func (a *answer) write(w http.ResponseWriter) error {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, err := w.Write(a.body)
	if errors.Is(err, http.ErrBodyNotAllowed) { // as of 204 and 304
		return nil
	}
	return err
}
