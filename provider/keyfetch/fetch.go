package keyfetch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
)

func newClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxResponseHeaderBytes = 64 << 10
		transport = t
	}
	return &http.Client{
		Transport:     transport,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func fetch(client *http.Client, q Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	method := http.MethodGet
	var sent io.Reader
	if q.Body != nil {
		method, sent = http.MethodPost, bytes.NewReader(q.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, q.URL, sent)
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	if q.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, q.Header)
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{resp.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	if len(body) > maxSize {
		return nil, fmt.Errorf("fetching keys: the document is larger than %d bytes", maxSize)
	}
	return body, nil
}

// StatusError is a response with a status other than 200.
type StatusError struct{ Status int }

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("fetching keys: the provider responded with status %d", e.Status)
}
