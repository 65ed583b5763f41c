package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
)

const secretHelp = "the secret: plain, @file, @- for standard input, or env:NAME"

// readSecret returns the value of a flag for a secret. Files and standard input
// may end with one line break, as written by `echo`.
func readSecret(flag string, stdin io.Reader) (string, error) {
	text, err := readValue(flag, stdin)
	if err != nil {
		return "", fmt.Errorf("reading the secret: %w", err)
	}
	if text == "" {
		return "", errors.New("the secret is empty: write it, @file, @- or env:NAME")
	}
	return text, nil
}

func readValue(flag string, stdin io.Reader) (string, error) {
	if name, ok := strings.CutPrefix(flag, "env:"); ok {
		text, set := os.LookupEnv(name)
		if !set {
			return "", fmt.Errorf("the environment variable %s is not set: write its name, without $", option.Shown(name))
		}
		return text, nil
	}
	name, ok := strings.CutPrefix(flag, "@")
	if !ok {
		return flag, nil
	}
	var raw []byte
	var err error
	if name == "-" {
		raw, err = io.ReadAll(stdin)
	} else {
		raw, err = os.ReadFile(name)
	}
	if of, ok := errors.AsType[*os.PathError](err); ok { // the name may be a secret
		return "", fmt.Errorf("%s %s: %w", of.Op, option.Shown(of.Path), of.Err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r"), err
}

// readBytes returns the value of a flag for a body, byte for byte.
func readBytes(flag string, stdin io.Reader) ([]byte, error) {
	name, ok := strings.CutPrefix(flag, "@")
	switch {
	case !ok:
		return []byte(flag), nil
	case name == "-":
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name)
}
