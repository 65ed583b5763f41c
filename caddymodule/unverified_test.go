package caddymodule

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"                  // the directive header
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"                // the directive intercept
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/forwardauth" // the directive forward_auth
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/timeouts"                 // the directive timeouts
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/tracing"                  // the directive tracing
)

// smuggled is a request inside a body. evil marks bodies that must not reach the
// app.
const (
	smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\nX-EVIL: 1\r\n\r\n"
	evil     = `{"forged":"EVIL"}`
)

// hostileBody is the text of a body without a valid signature on an HTTP/1
// connection.
type hostileBody struct {
	name, protocol, headers, text string
	keeps                         bool // the connection may be reused
}

func hostileBodies() []hostileBody {
	long := strings.Repeat(smuggled, 300<<10/len(smuggled))
	declared := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }
	const chunked, trailers, expect = "Transfer-Encoding: chunked\r\n", "Trailer: Webhook-Verified-Id, X-Evil\r\n", "Expect: 100-continue\r\n"
	const end, spoof = "0\r\n\r\n", "0\r\nWebhook-Verified-Id: EVIL\r\nX-Evil: EVIL\r\n\r\n"
	chunk := func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(body), body) }
	return []hostileBody{
		{"short, declared", "1.1", declared(smuggled + evil), smuggled + evil, true},
		{"long, declared", "1.1", declared(long), long, false},
		{"long, declared, HTTP/1.0 keep-alive", "1.0", "Connection: keep-alive\r\n" + declared(long), long, false},
		{"short, chunked", "1.1", chunked, chunk(evil) + end, true},
		{"long, chunked", "1.1", chunked, chunk(long) + end, false},
		{"short, chunked, with trailers", "1.1", chunked + trailers, chunk(evil) + spoof, true},
		{"long, chunked, with trailers", "1.1", chunked + trailers, chunk(long) + spoof, false},
		{"short, declared, Expect", "1.1", expect + declared(smuggled+evil), smuggled + evil, false},
		{"long, declared, Expect", "1.1", expect + declared(long), long, false},
		{"long, chunked, Expect, with trailers", "1.1", expect + chunked + trailers, chunk(long) + spoof, false},
		{"chunked, malformed", "1.1", chunked, chunk(evil) + "zz\r\n" + smuggled, false},
		{"declared, incomplete", "1.1", declared(long), smuggled + evil, false},
	}
}

// fronts lists handlers in front of verify_webhook that copy the request or wrap
// its body.
var fronts = map[string]string{
	"nothing":      "",
	"tracing":      "tracing {\nspan x\n}",
	"forward_auth": "forward_auth APP {\nuri /auth\n}",
	"all": `tracing {
			span x
		}
		forward_auth APP {
			uri /auth
		}
		request_body {
			max_size 1MB
		}
		timeouts {
			read_timeout 10s
		}`,
}

// errorRouteSite returns a site whose error route forwards each failed request to
// the app.
func errorRouteSite(front, options, errorRoute string) string {
	return fmt.Sprintf(`
	handle /smuggled {
		respond "smuggled"
	}
	handle /next {
		respond "next"
	}
	handle {
		route {
			%s
			verify_webhook github {env.%s} {
				replay {
					store memory STORE
				}
				%s
			}
			reverse_proxy APP
		}
	}
	handle_errors {
		%s
		reverse_proxy APP
	}`, front, secretVariable, options, errorRoute)
}

// refusedBy lists reasons for a refusal: the headers of the delivery, and the
// options of the endpoint.
var refusedBy = map[string]struct{ headers, options string }{
	"no signature":      {},
	"a wrong signature": {headers: "X-Hub-Signature-256: sha256=" + strings.Repeat("0", 64) + "\r\n"},
	"too large":         {headers: "X-Hub-Signature-256: sha256=" + strings.Repeat("0", 64) + "\r\n", options: "max_body 10"},
}

func TestInvariant11NoUnverifiedBodyReachesAnErrorRoute(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	servers := map[string]string{
		"defaults":           "",
		"no idle timeout":    "timeouts {\nread_body_idle -1s\n}",
		"full duplex":        "enable_full_duplex",
		"neither, duplex":    "enable_full_duplex\ntimeouts {\nread_body_idle -1s\n}",
		"error route resets": "timeouts {\nread_body_idle -1s\n}",
	}
	for serverName, server := range servers {
		for frontName, front := range fronts {
			if server != "" && frontName != "nothing" && frontName != "tracing" {
				continue // does not depend on the server's options
			}
			errorRoute := "header -Connection"
			if serverName == "error route resets" {
				errorRoute = "timeouts {\nread_timeout 10s\n}\nheader Connection keep-alive"
			}
			for refusal, by := range refusedBy {
				t.Run(strings.Join([]string{serverName, frontName, refusal}, ", "), func(t *testing.T) {
					c := startCaddy(t, "servers {\nprotocols h1 h2c\n"+server+"\n}", errorRouteSite(front, by.options, errorRoute))
					for _, body := range hostileBodies() {
						c.attack(body, by.headers, refusal == "a wrong signature")
					}
				})
			}
		}
	}
}

// attack sends a delivery that is refused, followed by another request.
func (c *realCaddy) attack(b hostileBody, headers string, bodyIsRead bool) {
	c.t.Helper()
	before := len(c.logged())
	request := "POST /in HTTP/" + b.protocol + "\r\nHost: x\r\n" + headers + b.headers + "\r\n" + b.text
	got := c.converse(request + "GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if strings.Contains(got, "smuggled") {
		c.t.Errorf("%s: a request in the body was answered", b.name)
	}
	if strings.Contains(got, "next") && !b.keeps && !bodyIsRead {
		c.t.Errorf("%s: the connection was reused", b.name)
	}
	if b.keeps && !strings.Contains(got, "next") {
		c.t.Errorf("%s: the connection was not kept: %q", b.name, got)
	}
	if !strings.HasPrefix(got, "HTTP/1.") {
		c.t.Errorf("%s: no response: %q", b.name, got)
	}
	requests := strings.Count(c.logged()[before:], `"msg":"handled request"`)
	if next := strings.Count(got, "next"); requests != 1+next {
		c.t.Errorf("%s: %d requests in the access log", b.name, requests-next)
	}
	for _, a := range c.app.arrivals() {
		if text := fmt.Sprint(a.body, a.header, a.trailer); strings.Contains(text, "EVIL") || strings.Contains(strings.ToLower(text), "webhook-verified") {
			c.t.Errorf("%s: the app received %.200q", b.name, text)
		}
	}
}

// converse writes text to a connection and returns what the server sends until it
// closes the connection.
func (c *realCaddy) converse(text string) string {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_, _ = io.WriteString(conn, text) // the server may close before the end
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil && !isReset(err) {
		c.t.Errorf("the connection stays open: %v", err)
	}
	return string(got)
}

// If a handler in front copies the request, the error route's request still
// declares the length of the removed body. The app must not receive its headers
// and wait for the body. Without a copy, the app gets a request without a body.
func TestInvariant11RefusedDeliveryOfACopiedRequestDoesNotReachTheApp(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	for front, arrivals := range map[string]int{"nothing": 1, "tracing": 0, "forward_auth": 1, "all": 1} { // forward_auth sends its own request to the app
		for refusal, by := range refusedBy {
			t.Run(front+", "+refusal, func(t *testing.T) {
				c := startCaddy(t, "", errorRouteSite(fronts[front], by.options, "header -Connection"))
				var headers []string
				if name, value, ok := strings.Cut(strings.TrimSpace(by.headers), ": "); ok {
					headers = []string{name, value}
				}
				const refused = "a body that is refused"
				for length, body := range map[string]io.Reader{"declared": strings.NewReader(refused), "unknown": onlyReader{strings.NewReader(refused)}} {
					before := len(c.app.arrivals())
					got := c.send(client(t, "HTTP/1.1"), body, headers...)
					seen := c.app.arrivals()[before:]
					if len(seen) != arrivals {
						t.Errorf("length %s: the app received %d requests, want %d: %+v", length, len(seen), arrivals, seen)
					}
					for _, a := range seen {
						if a.body != "" {
							t.Errorf("length %s: the app received the body %q", length, a.body)
						}
					}
					if front != "nothing" && (got.status < 400 || got.status > 499) {
						t.Errorf("length %s: the sender got %d", length, got.status)
					}
				}
			})
		}
	}
}

// An HTTP/1.0 connection is kept if the response says so.
func TestInvariant11ErrorRouteCannotKeepTheConnectionOfAnUnreadBody(t *testing.T) {
	c := startCaddy(t, "", `
	handle /smuggled {
		respond "smuggled"
	}
	handle /in {
		verify_webhook github {env.`+secretVariable+`}
	}
	handle_errors {
		header {
			Connection keep-alive
			Content-Length 7
		}
		respond "refused" 401
	}`)
	for _, body := range hostileBodies() {
		if body.keeps {
			continue
		}
		got := c.converse("POST /in HTTP/" + body.protocol + "\r\nHost: x\r\n" + body.headers + "\r\n" + body.text)
		if !strings.Contains(got, "refused") || strings.Contains(got, "smuggled") || strings.Count(got, "HTTP/1.") != 1 {
			t.Errorf("%s: got %q", body.name, got)
		}
	}
}

// No memory is available for bodies: a body is refused after part of it was read.
func TestInvariant11BodyOverTheMemoryLimitReachesNoErrorRoute(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	c := startCaddy(t, "verify_webhook {\nbody_memory 1\nbody_disk 1\n}", errorRouteSite(fronts["all"], "", "header -Connection"))
	for _, body := range hostileBodies() {
		body.keeps = false
		c.attack(body, refusedBy["a wrong signature"].headers, true)
	}
}

// intercept replaces a response, and its routes get the request.
func TestInvariant11BodyOfAHandshakeDoesNotReachTheApp(t *testing.T) {
	c := startCaddy(t, "", `
	handle /smuggled {
		respond "smuggled"
	}
	route /in* {
		intercept {
			handle_response {
				reverse_proxy APP
			}
		}
		verify_webhook dropbox {env.`+secretVariable+`}
	}`)
	for _, body := range hostileBodies() {
		got := c.converse("GET /in?challenge=abc HTTP/" + body.protocol + "\r\nHost: x\r\n" + body.headers + "\r\n" + body.text)
		if strings.Contains(got, "smuggled") {
			t.Errorf("%s: a request in the body was answered", body.name)
		}
		for _, a := range c.app.arrivals() {
			if text := fmt.Sprint(a.body, a.header, a.trailer); strings.Contains(text, "EVIL") {
				t.Errorf("%s: the app received %.200q", body.name, text)
			}
		}
	}
}

// If the gate itself responds to a verified delivery, a handler in front that
// replaces the response gets neither identity headers nor the token.
func TestNoIdentityOrTokenAfterOurOwnResponse(t *testing.T) {
	const token = "a token that is long enough"
	t.Setenv("INTERCEPTED_TOKEN", token)
	c := startCaddy(t, "", `
	route /in* {
		intercept {
			handle_response {
				reverse_proxy APP
			}
		}
		verify_webhook gitlab {env.INTERCEPTED_TOKEN} {
			events Push*
		}
		respond 202
	}`)
	client := client(t, "HTTP/1.1")
	for name, event := range map[string]string{"handled before": "Push Hook", "another event": "Issue Hook"} {
		for range 2 {
			c.send(client, strings.NewReader(content), "X-Gitlab-Token", token, "X-Gitlab-Event", event, "Idempotency-Key", "1", "X-Gitlab-Event-Uuid", "1")
		}
		arrived := c.app.arrivals()
		last := arrived[len(arrived)-1]
		if text := fmt.Sprint(last.header); last.body != "" || strings.Contains(text, token) || strings.Contains(strings.ToLower(text), identityPrefix) {
			t.Errorf("%s: the app received %q with %v", name, last.body, last.header)
		}
	}
}

// If the app has responded, a handler in front that replaces the response gets
// neither identity headers nor unsigned trailers: the body has been read, and the
// fallback would take an empty body for the verified one.
func TestInvariant01EmptyBodyIsNotForwardedAsVerifiedAfterTheAppsResponse(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	for front, text := range map[string]string{"nothing": "", "tracing": "tracing {\nspan x\n}"} {
		for status, respond := range map[string]string{"failure": "respond 503", "success": "respond 200"} {
			t.Run(front+", "+status, func(t *testing.T) {
				c := startCaddy(t, "", fmt.Sprintf(`
				route {
					intercept {
						handle_response {
							reverse_proxy APP
						}
					}
					%s
					verify_webhook github {env.%s} {
						replay {
							store memory STORE
						}
					}
					%s
				}`, text, secretVariable, respond))
				for framing, end := range map[string]string{
					"declared": fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(content), content),
					"chunked":  fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Evil: EVIL\r\n\r\n", len(content), content),
				} {
					headers := githubHeaders(framing, content)
					request := "POST /in HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
					for i := 0; i < len(headers); i += 2 {
						request += headers[i] + ": " + headers[i+1] + "\r\n"
					}
					c.converse(request + end)
					for _, a := range c.app.arrivals() {
						if text := fmt.Sprint(a.body, a.header, a.trailer); a.body != "" || strings.Contains(text, "EVIL") || strings.Contains(strings.ToLower(text), identityPrefix) {
							t.Errorf("%s: the app received %.300q", framing, text)
						}
					}
				}
			})
		}
	}
}

func TestInvariant11NoUnverifiedBodyReachesAnErrorRouteOverHTTP2(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	long := evil + strings.Repeat(smuggled, 300<<10/len(smuggled))
	for frontName, front := range fronts {
		for refusal, by := range refusedBy {
			t.Run(frontName+", "+refusal, func(t *testing.T) {
				c := startCaddy(t, "", errorRouteSite(front, by.options, "header -Connection"))
				client := client(t, "HTTP/2")
				for _, body := range []string{evil, long} {
					for _, reader := range []io.Reader{strings.NewReader(body), onlyReader{strings.NewReader(body)}} {
						r, err := http.NewRequest(http.MethodPost, "http://"+c.addr+"/in", reader)
						if err != nil {
							t.Fatal(err)
						}
						if name, value, found := strings.Cut(strings.TrimSpace(by.headers), ": "); found {
							r.Header.Set(name, value)
						}
						r.Trailer = http.Header{"Webhook-Verified-Id": {"EVIL"}, "X-Evil": {"EVIL"}}
						if resp, err := client.Do(r); err == nil { // sending a long body may fail
							_, _ = io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
						for _, a := range c.app.arrivals() {
							if text := fmt.Sprint(a.body, a.header, a.trailer); strings.Contains(text, "EVIL") || strings.Contains(strings.ToLower(text), "webhook-verified") {
								t.Errorf("%d bytes: the app received %.200q", len(body), text)
							}
						}
					}
				}
			})
		}
	}
}
