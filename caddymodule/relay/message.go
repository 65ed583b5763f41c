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
	// HTTP/2 allows spaces in a query, and a request line does not.
	uri := strings.ReplaceAll(r.URL.RequestURI(), " ", "%20")
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, uri, r.Host)
	_ = header.Write(&head) // to memory
	fmt.Fprintf(&head, "Content-Length: %d\r\n\r\n", r.ContentLength)
	return message{head: head.Bytes(), size: r.ContentLength, body: r.GetBody}
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
	if err != nil { // a Unix socket has no address
		address = ""
	}
	address, _, _ = strings.Cut(address, "%") // the zone of IPv6 means nothing elsewhere
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if !trusted {
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
			header.Del(name)
		}
	}
	if address != "" {
		header.Set("X-Forwarded-For", strings.Join(append(header["X-Forwarded-For"], address), ", "))
	}
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

// bodyError is the error of a body that cannot be read. It is that of one
// delivery, not of the stream.
type bodyError struct{ error }

// send writes the message as the lines of an event.
func (m message) send(to *sse.Stream, id string) error {
	return to.SendLines(sse.Event{Type: "delivery", ID: id}, func(line func([]byte) error) error {
		body, err := m.body()
		if err != nil {
			return bodyError{err}
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
			if got := int64(total - len(m.head)); got != m.size {
				return bodyError{fmt.Errorf("the body has ended after %d of %d bytes: %w", got, m.size, err)}
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
