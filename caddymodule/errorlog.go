package caddymodule

import "github.com/caddyserver/caddy/v2/modules/caddyhttp"

// answerUnlogged responds to an unverified request without returning an error, and
// reports whether it has. If the server has no error routes, Caddy logs every error
// of 500 or above, at any rate and with the headers of the request, so a flood of
// unsigned requests could fill the disk. It is for requests whose own log lines
// are suppressed.
func (d *delivery) answerUnlogged(status int) bool {
	server, _ := d.r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if d.verified != nil || server == nil || (server.Errors != nil && len(server.Errors.Routes) > 0) {
		return false
	}
	d.w.WriteHeader(status)
	return true
}
