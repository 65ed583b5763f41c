package diagnose

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// signedURL is a URL, split into the parts that proxies change.
type signedURL struct{ scheme, host, path, query string }

func (u signedURL) String() string {
	text := u.scheme + "://" + u.host + u.path
	if u.query != "" {
		text += "?" + u.query
	}
	return text
}

// withoutQuery returns the part that can be shown: a query can contain tokens.
func (u signedURL) withoutQuery() string { u.query = ""; return u.String() }

// urlChanges are other URLs that the provider may use for the endpoint, for schemes
// that sign it.
func (s *search) urlChanges(start variant) []change {
	if !slices.ContainsFunc(start.schemes, signsURL) {
		return nil
	}
	was := s.urlAsItCame(start)
	var changes []change
	for _, u := range s.otherURLs(was) {
		kind, cause := difference(was, u)
		changes = append(changes, change{
			Finding{Kind: kind, Cause: cause, Change: "write `public_url " + u.withoutQuery() + "`" + queryNote(u) + ", or let Caddy trust the proxy in front (`trusted_proxies`), if that sends X-Forwarded-Proto and X-Forwarded-Host"},
			func(v variant) variant { v.publicURL = u.String(); return v },
		})
	}
	return changes
}

// signsURL reports whether a scheme signs the URL, or may do so in code.
func signsURL(s signature.Scheme) bool {
	return slices.ContainsFunc([]string{"{url}", "{request_target}", "{path}", "{host}", "{query", "{value."}, func(variable string) bool { return strings.Contains(s.Signed, variable) })
}

func (s *search) urlAsItCame(v variant) signedURL {
	r := s.request(v)
	text := r.URL()
	scheme, rest, _ := strings.Cut(text, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	path, query, _ := strings.Cut(rest[end:], "?")
	return signedURL{scheme, rest[:end], path, query}
}

// otherURLs are similar URLs, the most likely first.
func (s *search) otherURLs(was signedURL) []signedURL {
	bare := was.host
	if host, _, err := net.SplitHostPort(was.host); err == nil {
		bare = host
	}
	hosts := []string{was.host, bare, bare + ":443", bare + ":80", bare + ":8080", bare + ":8443"}
	for _, name := range []string{"X-Forwarded-Host", "X-Original-Host", "X-Host"} {
		if host := s.c.Request.Header.Get(name); host != "" && !strings.ContainsAny(host, "/ ,") {
			hosts = append(hosts, host, host+":443")
		}
	}
	paths := []string{was.path, strings.TrimSuffix(was.path, "/"), was.path + "/"}
	if uri := s.c.Request.Header.Get("X-Original-Uri"); strings.HasPrefix(uri, "/") {
		path, _, _ := strings.Cut(uri, "?")
		paths = append(paths, path)
	}
	if prefix := s.c.Request.Header.Get("X-Forwarded-Prefix"); prefix != "" {
		paths = append(paths, strings.TrimSuffix(prefix, "/")+was.path)
	}
	queries := []string{was.query, "", sortedQuery(was.query), strings.ReplaceAll(was.query, "+", "%20"), strings.ReplaceAll(was.query, "%20", "+"), decodeForm(was.query)}
	var all []signedURL
	for _, query := range queries {
		for _, path := range paths {
			for _, host := range hosts {
				for _, scheme := range []string{"https", "http"} {
					u := signedURL{scheme, host, path, query}
					if u != was && !slices.Contains(all, u) {
						all = append(all, u)
					}
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b signedURL) int { return differences(was, a) - differences(was, b) })
	return all
}

func sortedQuery(query string) string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return query
	}
	return values.Encode()
}

func differences(a, b signedURL) int {
	n := 0
	for _, differs := range []bool{a.scheme != b.scheme, a.host != b.host, a.path != b.path, a.query != b.query} {
		if differs {
			n++
		}
	}
	return n
}

// difference describes how two URLs differ.
func difference(was, signed signedURL) (kind, cause string) {
	var kinds, parts []string
	note := func(differs bool, kind, text string) {
		if differs {
			kinds, parts = append(kinds, kind), append(parts, text)
		}
	}
	note(was.scheme != signed.scheme, "url_scheme", "begins with "+signed.scheme+"://, not "+was.scheme+"://")
	wasHost, _, _ := strings.Cut(was.host, ":")
	signedHost, _, _ := strings.Cut(signed.host, ":")
	note(was.host != signed.host && wasHost == signedHost, "url_port", "has the host "+signed.host+", not "+was.host)
	note(wasHost != signedHost, "url_host", "has the host "+signed.host+", not "+was.host)
	note(was.path != signed.path, "url_path", "has the path "+signed.path+", not "+was.path)
	note(was.query != signed.query, "url_query", "has a differently encoded query")
	return kinds[0], "the URL that the provider has signed " + strings.Join(parts, ", and ") + ": a proxy changes it"
}

func queryNote(u signedURL) string {
	if u.query == "" {
		return ""
	}
	return " (and the query of the provider's URL)"
}
