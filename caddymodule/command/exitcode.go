package command

import (
	"errors"
	"fmt"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// exitUsage is the exit code for wrong usage. 0 is success, and 1 everything else:
// refused, not as expected, or failed.
const exitUsage = 2

// usageError is an error in the usage of a command.
type usageError struct{ error }

// Unwrap returns the wrapped error.
func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// withExitCodes makes the process exit with exitUsage after wrong flags, wrong
// arguments and usage errors.
func withExitCodes(cmd *cobra.Command) *cobra.Command {
	run, check := cmd.RunE, cmd.Args
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return exitCode(cmd, run(cmd, args)) }
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if check == nil {
			return nil
		}
		if err := check(cmd, args); err != nil {
			return exitCode(cmd, usageError{err})
		}
		return nil
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return exitCode(cmd, usageError{withFlagName(cmd, err)}) })
	return cmd
}

// exitCode prints a usage error and returns the error with which Caddy exits. It
// returns other errors unchanged.
func exitCode(cmd *cobra.Command, err error) error {
	if _, ok := errors.AsType[usageError](err); !ok {
		return err
	}
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.PrintErrln("Error: " + printable(err.Error()))
	cmd.PrintErrf("Run `%s --help` for flags and examples.\n", cmd.CommandPath())
	// Only this function of Caddy creates an error with an exit code.
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return exitUsage, nil })(cmd, nil)
}
