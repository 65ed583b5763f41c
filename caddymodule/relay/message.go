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
	// mostAnswer is the maximum size of a response's body, mostHead that of its head.
	mostAnswer = 1 << 20
	mostHead   = 64 << 10
	// lineBytes is the number of bytes in one line of an event: a multiple
	// of 3, so that the base64 of the lines can be joined.
	lineBytes = 48 << 10
)

// message is a request to the listening machine, in the wire format of HTTP/1.1.
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

// newMessage copies the head of a request and keeps a reference to its body.
func newMessage(r *http.Request) message {
	header := r.Header.Clone()
	removeHopByHop(header)
	setForwarded(header, r)
	var head bytes.Buffer
	// HTTP/2 allows spaces in a query; a request line does not.
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

// setForwarded sets the origin of the request as reverse_proxy does: the client's
// own headers are kept only if it is a trusted proxy.
func setForwarded(header http.Header, r *http.Request) {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil { // a Unix socket has no address
		address = ""
	}
	address, _, _ = strings.Cut(address, "%") // an IPv6 zone is local to this machine
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

// bodyError is the error of a body that cannot be read. It ends one delivery, not
// the stream.
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
				return bodyError{fmt.Errorf("the body ended after %d of %d bytes: %w", got, m.size, err)}
			}
			return nil
		}
	})
}

// answer is the response of the app on the listening machine.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// readAnswer reads a response in the wire format of HTTP/1.1.
func readAnswer(r io.Reader) (*answer, error) {
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(r, mostHead+mostAnswer+1)), nil)
	if err != nil {
		return nil, errors.New("the response is not HTTP, or its head is too long")
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 599 {
		return nil, fmt.Errorf("%d is not a final status", resp.StatusCode)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("the response is incomplete, or longer than %d bytes", mostAnswer)
	}
	if len(body) > mostAnswer {
		return nil, fmt.Errorf("the response is longer than %d bytes", mostAnswer)
	}
	removeHopByHop(resp.Header)
	return &answer{resp.StatusCode, resp.Header, body}, nil
}

// write sends the response to the provider.
func (a *answer) write(w http.ResponseWriter) error {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, err := w.Write(a.body)
	if errors.Is(err, http.ErrBodyNotAllowed) { // as of 204 and 304
		return nil
	}
	return err
}
