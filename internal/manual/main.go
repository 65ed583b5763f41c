// Command manual writes what packages contain besides the caddy program: the manual
// pages of all commands, and completions for bash, zsh and fish.
//
// `caddy manpage` writes such pages too, but their Markdown treats <placeholders> as
// HTML and omits them.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	_ "github.com/verify-webhook/caddy-verify-webhook"
)

// name is the name of this program as a command of caddy. As a command it can reach all
// others.
const name = "write-manual"

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  name,
		Usage: "<folder> <time>",
		Short: "Write the manual pages and completions into a folder",
		CobraFunc: func(cmd *cobra.Command) {
			cmd.RunE = func(cmd *cobra.Command, args []string) error { return run(cmd, args) }
		},
	})
}

func main() {
	os.Args = append([]string{"caddy", name}, os.Args[1:]...)
	caddycmd.Main()
}

// run writes the files. The time, in Unix seconds, is the date of the pages, so that the
// same commit produces the same bytes.
func run(self *cobra.Command, args []string) error {
	if len(args) != 2 {
		return errors.New("wrong number of arguments: expected a folder and a time in Unix seconds")
	}
	seconds, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return fmt.Errorf("invalid time: %w", err)
	}
	root := self.Root()
	root.RemoveCommand(self)
	if err := os.RemoveAll(args[0]); err != nil {
		return err
	}
	return errors.Join(writeCompletions(root, args[0]), writePages(root, filepath.Join(args[0], "man8"), time.Unix(seconds, 0).UTC()))
}

func writeCompletions(root *cobra.Command, folder string) error {
	for shell, write := range map[string]func(io.Writer) error{
		"bash": func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh":  root.GenZshCompletion,
		"fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
	} {
		var text bytes.Buffer
		if err := write(&text); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(folder, shell), text.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// writePages writes the page of a command and those of its subcommands.
func writePages(cmd *cobra.Command, folder string, date time.Time) error {
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			if err := writePages(sub, folder, date); err != nil {
				return err
			}
		}
	}
	escapeTexts(cmd)
	cmd.DisableAutoGenTag = true // it repeats the date
	var page bytes.Buffer
	if err := doc.GenMan(cmd, &doc.GenManHeader{Section: "8", Date: &date, Source: "Caddy with verify_webhook"}, &page); err != nil {
		return err
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(page.Bytes()); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return writeFile(filepath.Join(folder, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".8.gz"), packed.Bytes())
}

// escapeTexts escapes the texts of a command that the generator reads as Markdown. The
// example is code there.
func escapeTexts(cmd *cobra.Command) {
	cmd.Use, cmd.Short, cmd.Long = escape(cmd.Use), escape(cmd.Short), escape(cmd.Long)
	cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) { flag.Usage = escape(flag.Usage) })
}

var special = strings.NewReplacer(`\`, `\\`, "<", `\<`, ">", `\>`, "*", `\*`, "_", `\_`)

// escape escapes what Markdown would interpret, except in indented lines, which are code.
func escape(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, "    ") {
			lines[i] = special.Replace(line)
		}
	}
	return strings.Join(lines, "\n")
}

func writeFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // packages contain it for all users
		return err
	}
	return os.WriteFile(path, text, 0o644) //nolint:gosec // packages contain it for all users
}
