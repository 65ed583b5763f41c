// Command gendocs generates the pages on providers from the catalogue: an index, and a
// page for each kind of product.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("wrong number of arguments: expected the folder of the documentation")
	}
	// Remove the page of a kind that no preset has anymore.
	if err := os.RemoveAll(filepath.Join(args[0], pagesFolder)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(args[0], pagesFolder), 0o755); err != nil {
		return err
	}
	for name, text := range pages(provider.Presets()) {
		if err := os.WriteFile(filepath.Join(args[0], name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
