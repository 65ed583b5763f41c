// Command gendocs writes the page on providers from the catalogue.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("gendocs: say which file to write")
	}
	var page bytes.Buffer
	if err := markdown(&page, provider.Presets()); err != nil {
		return fmt.Errorf("writing the page on providers: %w", err)
	}
	if err := os.WriteFile(os.Args[1], page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the page on providers: %w", err)
	}
	return nil
}
