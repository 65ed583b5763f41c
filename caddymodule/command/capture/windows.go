package capture

import (
	"errors"
	"strings"
)

// isWindows reports whether a curl command is for the command prompt of Windows:
// browsers copy it with carets.
func isWindows(line string) bool {
	return strings.Contains(line, "^\n") || strings.Contains(line, "^\r\n") || strings.Contains(line, `^"`)
}

// windowsWords splits a command line as the command prompt of Windows and its
// programs do: a caret escapes the next character or line break, quotes group,
// and a backslash escapes a quote.
func windowsWords(line string) ([]string, error) {
	line = strings.NewReplacer("^\r\n", " ", "^\n", " ").Replace(line)
	line = withoutCarets(line)
	var words []string
	var word strings.Builder
	quoted, begun := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line) && line[i+1] == '"':
			i++
			word.WriteByte('"')
			begun = true
		case c == '"' && quoted && i+1 < len(line) && line[i+1] == '"':
			i++
			word.WriteByte('"')
		case c == '"':
			quoted, begun = !quoted, true
		case !quoted && strings.ContainsRune(" \t\r\n", rune(c)):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if quoted {
		return nil, errors.New("the curl command ends inside quotes: copy all of it")
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}

// withoutCarets removes the carets that escape a character.
func withoutCarets(line string) string {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		if line[i] == '^' && i+1 < len(line) {
			i++
		}
		b.WriteByte(line[i])
	}
	return b.String()
}
