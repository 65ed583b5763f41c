package caddymodule

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// These clients do not send their body: the response must not wait for it, or at
// most for body_timeout.
func TestEarlyRefusalsDoNotWaitForTheBody(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", "max_body 1000\nbody_timeout 200ms"))
	const head = "POST /in HTTP/1.1\r\nHost: hooks.example.com\r\n"
	signed := "X-Hub-Signature-256: sha256=" + sign(secret, content) + "\r\n"
	for name, test := range map[string]struct {
		request string
		status  int
	}{
		"no signature":                     {head + "Content-Length: 30\r\n\r\n", 401},
		"no signature, chunked":            {head + "Transfer-Encoding: chunked\r\n\r\n", 401},
		"no signature, expecting 100":      {head + "Content-Length: 30\r\nExpect: 100-continue\r\n\r\n", 401},
		"unreadable signature":             {head + "X-Hub-Signature-256: sha256=x\r\nContent-Length: 30\r\n\r\n", 400},
		"declared too long":                {head + signed + "Content-Length: 1001\r\n\r\n", 413},
		"declared too long, expecting 100": {head + signed + "Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n", 413},
		"half a body, then nothing":        {head + "Content-Length: 30\r\n\r\n{\"action\":", 401},
	} {
		t.Run(name, func(t *testing.T) {
			resp, _ := c.rawConversation(test.request)
			if resp.StatusCode != test.status || !resp.Close {
				t.Errorf("status %d, closing %t", resp.StatusCode, resp.Close)
			}
		})
	}
	if seen := c.app.arrivals(); len(seen) != 0 {
		t.Errorf("%d requests reached the app", len(seen))
	}
}

// The next request on the connection of a refused delivery begins after its body,
// and gets its own response.
func TestShortBodyOfARefusalIsDrainedAndTheConnectionKept(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", "body_timeout 5s"))
	const head = "POST /in HTTP/1.1\r\nHost: hooks.example.com\r\n"
	genuine := head + "X-GitHub-Delivery: 1\r\nX-Hub-Signature-256: sha256=" + sign(secret, content) + "\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(content), content)
	for _, size := range []int{1, 1 << 10, 64 << 10, discardMost} {
		refused := head + fmt.Sprintf("Content-Length: %d\r\n\r\n", size) + strings.Repeat("x", size)
		first, in := c.rawConversation(refused + genuine)
		if first.StatusCode != 401 || first.Close {
			t.Errorf("%d bytes: status %d, closing %t", size, first.StatusCode, first.Close)
			continue
		}
		second, err := http.ReadResponse(in, nil)
		if err != nil || second.StatusCode != 200 {
			t.Errorf("%d bytes: the next delivery got %v, %v", size, second, err)
		}
	}
	longer := head + fmt.Sprintf("Content-Length: %d\r\n\r\n", discardMost+1)
	if resp, _ := c.rawConversation(longer); resp.StatusCode != 401 || !resp.Close {
		t.Errorf("a longer body: status %d, closing %t", resp.StatusCode, resp.Close)
	}
	if seen := c.app.arrivals(); len(seen) != 1 || seen[0].body != content {
		t.Errorf("the app received %v", seen)
	}
}

// A sender that sends its body very slowly cannot keep the connection open.
func TestSlowBodyOfARefusalIsNotAwaited(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", "body_timeout 200ms"))
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /in HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Length: %d\r\n\r\n", discardMost)
	answered := make(chan struct{})
	go func() {
		trickle := time.NewTicker(10 * time.Millisecond)
		defer trickle.Stop()
		for {
			select {
			case <-answered:
				return
			case <-trickle.C:
				_, _ = conn.Write([]byte("x"))
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	close(answered)
	if err != nil || resp.StatusCode != 401 || !resp.Close {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestEarlyRefusalsOverHTTP2DoNotWaitForTheBody(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", "max_body 1000"))
	client := client(t, "HTTP/2")
	for range 2 { // on one connection
		body, never := io.Pipe()
		got := c.send(client, body)
		never.Close()
		if got.status != 401 || got.header.Get("Connection") != "" {
			t.Errorf("status %d, Connection %q", got.status, got.header.Get("Connection"))
		}
	}
}

func TestBodyThatDoesNotArriveInTimeIsATimeout(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", "body_timeout 50ms"))
	signed := "X-Hub-Signature-256: sha256=" + sign(secret, content) + "\r\n"
	for name, rest := range map[string]string{
		"declared": "Content-Length: 30\r\n\r\n{\"action\":",
		"chunked":  "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"act",
		"expected": "Content-Length: 30\r\nExpect: 100-continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			resp, in := c.rawConversation("POST /in HTTP/1.1\r\nHost: x\r\n" + signed + rest)
			if resp.StatusCode == http.StatusContinue {
				var err error
				if resp, err = http.ReadResponse(in, nil); err != nil {
					t.Fatal(err)
				}
			}
			if resp.StatusCode != 408 {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		body, never := io.Pipe()
		defer never.Close()
		if got := c.send(client(t, "HTTP/2"), body, githubHeaders("1", content)...); got.status != 408 {
			t.Errorf("status %d", got.status)
		}
	})
	if line := c.accessLine("webhook_outcome"); line["webhook_outcome"] != "body_timeout" {
		t.Errorf("access log: %v", line["webhook_outcome"])
	}
}

// A read deadline that remains after the body would abort the app's response or
// the next request on the connection.
func TestBodyTimeoutEndsWithTheBody(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", "body_timeout 100ms"))
	slow := make(chan struct{})
	c.app.answers(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-slow:
		case <-r.Context().Done():
			t.Error("the app's request was cancelled")
		}
		_, _ = io.WriteString(w, "done")
	})
	overBoth(t, func(t *testing.T, client *http.Client) {
		slow = make(chan struct{})
		result := make(chan answer)
		go func() {
			result <- c.send(client, strings.NewReader(content+t.Name()), githubHeaders(t.Name(), content+t.Name())...)
		}()
		// A second delivery, whose body never arrives, is the clock: it ends after
		// body_timeout.
		body, never := io.Pipe()
		if got := c.send(client, body, githubHeaders("2", content)...); got.status != 408 {
			t.Errorf("the second delivery got %d", got.status)
		}
		never.Close()
		close(slow)
		if got := <-result; got.status != 200 || got.body != "done" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestExpectIsNotForwarded(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	client := client(t, "HTTP/1.1")
	headers := append(githubHeaders("1", content), "Expect", "100-continue")
	if got := c.send(client, strings.NewReader(content), headers...); got.status != 200 {
		t.Errorf("status %d", got.status)
	}
	if seen := c.app.arrivals(); len(seen) != 1 || seen[0].header.Get("Expect") != "" || seen[0].body != content {
		t.Errorf("the app received %+v", seen)
	}
}

func TestRequestBodyInFrontCanSetALowerLimit(t *testing.T) {
	c := startCaddy(t, "", "request_body {\nmax_size 10\n}\n"+siteOf("github", ""))
	overBoth(t, func(t *testing.T, client *http.Client) {
		got := c.send(client, onlyReader{strings.NewReader(content)}, githubHeaders("1", content)...)
		if got.status != 413 {
			t.Errorf("status %d", got.status)
		}
		if line := c.accessLine("webhook_reason"); !strings.Contains(line["webhook_reason"].(string), "request_body allows, which is 10 bytes") {
			t.Errorf("reason: %v", line["webhook_reason"])
		}
	})
}

func TestHijackedConnectionDoesNotCountAsHandled(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	for range 2 { // the second is not a duplicate
		headers := "Connection: Upgrade\r\nUpgrade: websocket\r\n"
		for i, h := 0, githubHeaders("1", content); i < len(h); i += 2 {
			headers += h[i] + ": " + h[i+1] + "\r\n"
		}
		c.app.answers(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") != "" {
				t.Error("the app is asked to switch protocols")
			}
			w.WriteHeader(http.StatusTeapot)
		})
		resp, _ := c.rawConversation("POST /in HTTP/1.1\r\nHost: x\r\n" + headers + "Content-Length: 30\r\n\r\n" + content)
		if resp.StatusCode != http.StatusTeapot {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
}
