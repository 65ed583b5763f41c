package catalogue

import "errors"

// names are the JSON members that a preset's code reads.
type names struct {
	known   map[uint64]knownName // by the hash of the folded name
	longest int                  // of the known names, in bytes
	depth   int                  // their depth: customers choose the names below it
}

type knownName struct {
	text string
	hash uint64
}

func knownNames(depth int, exact ...string) names {
	n := names{known: make(map[uint64]knownName, len(exact)), depth: depth}
	for _, name := range exact {
		n.known[nameHash([]byte(name), foldName)] = knownName{name, nameHash([]byte(name), exactName)}
		n.longest = max(n.longest, len(name))
	}
	return n
}

// anyNames are the names of a document that is read completely.
var anyNames = names{depth: maxJSONDepth}

// checkNames refuses invalid JSON, and documents in which an object has a duplicate
// name, or a known name in different letter case: the app's parser might use the other
// value.
func checkNames(body []byte, n names) error {
	w := &jsonWalk{buf: body, names: &n}
	if err := w.value(0); err != nil {
		return err
	}
	if _, more := w.token(); more {
		return errTrailing
	}
	return nil
}

// check refuses a name, as written, that differs from a known one only in letter case.
func (n *names) check(name []byte, hash uint64) error {
	if len(name) > longestEscape*n.longest {
		return nil
	}
	known, ok := n.known[nameHash(name, foldName)]
	if ok && known.hash != hash {
		return errors.New("a name differs from " + known.text + " in letter case only")
	}
	return nil
}
