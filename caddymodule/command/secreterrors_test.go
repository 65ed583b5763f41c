package command

import (
	"strings"
	"testing"
)

// A shell replaces $NAME in env:$NAME and @$NAME with the secret.
func TestErrorsOfCommandsContainNoSecret(t *testing.T) {
	const secret = "c4n4ryT0p5ecr3tAbCdEfGh012345678"
	for _, args := range [][]string{
		{"sign", "github", "--secret", "env:" + secret},
		{"sign", "github", "--secret", "@" + secret},
		{"sign", secret},
		{"sign", "github", "--secret", secret, "--private-key", "/no/such/file"},
		{"explain", "github", "-", "--secret", "env:" + secret},
		{"explain", "github", "-", "--secret", "x", "--other", "@" + secret},
		{"explain", secret, "-"},
		{"send", "github", "--secret", secret, "--url", "http://me:" + secret + "@203.0.113.1/"},
		{"send", "github", "--secret", secret, "--url", "http://me:" + secret + "@127.0.0.1:1/"},
		{"listen", "https://me:" + secret + "@localhost/relay", "--token", "x", "--to", "http://localhost:1"},
		{"listen", "http://me:" + secret + "@h.example.com/relay", "--token", "x", "--to", "http://localhost:1"},
		{"listen", "me:" + secret + "@h.example.com/relay", "--token", "x", "--to", "http://localhost:1"},
		{"listen", "http://h.example.com/relay?token=" + secret, "--token", "x", "--to", "http://localhost:1"},
		{"listen", "https://localhost:1/relay", "--token", "env:" + secret, "--to", "http://localhost:1"},
		{"listen", "https://localhost:1/relay", "--token", "@" + secret, "--to", "http://localhost:1"},
		{"listen", "https://localhost:1/relay", "--token", "x", "--to", "http://me:" + secret + "@h.example.com"},
		{"listen", "https://localhost:1/relay", "--token", "x", "--to", "me:" + secret + "@localhost"},
	} {
		out, err := tree(t.Context(), args...)
		if err == nil {
			t.Errorf("%v: got no error", args)
		} else if said := out + err.Error(); strings.Contains(said, secret) {
			t.Errorf("%v: %s", args, said)
		}
	}
}
