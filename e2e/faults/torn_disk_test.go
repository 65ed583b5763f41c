package faults

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// disk is what a power cut leaves at least: what was synced. Of everything
// later, any part may have reached the disk, in any order, by sectors.
type disk struct {
	names   map[string]*diskFile // that are durable
	current map[string]*diskFile // as the process sees them
	pending []step               // changes of names, in order
}

type diskFile struct {
	durable []byte
	pending []step
}

// sector is what a disk writes whole or not at all.
const sector = 512

func newDisk() *disk {
	return &disk{names: map[string]*diskFile{}, current: map[string]*diskFile{}}
}

// do takes a step.
func (d *disk) do(s step) {
	switch s.kind {
	case created:
		if d.current[s.path] == nil {
			d.current[s.path] = &diskFile{}
			d.pending = append(d.pending, s)
		}
	case wrote, truncated:
		if f := d.current[s.path]; f != nil {
			f.pending = append(f.pending, s)
		}
	case synced:
		if f := d.current[s.path]; f != nil {
			f.durable = applied(f.durable, f.pending)
			f.pending = nil
			return
		}
		d.syncFolder(s.path)
	case linked, renamed, unlinked:
		rename(d.current, d.current, s)
		d.pending = append(d.pending, s)
	case said:
	}
}

// syncFolder makes the names of a folder durable.
func (d *disk) syncFolder(path string) {
	d.pending = slices.DeleteFunc(d.pending, func(s step) bool {
		if filepath.Dir(s.path) != path {
			return false
		}
		rename(d.names, d.current, s)
		return true
	})
}

// rename makes a change of names. A file that is created is in found.
func rename(names, found map[string]*diskFile, s step) {
	switch s.kind {
	case created:
		if f := found[s.path]; f != nil {
			names[s.path] = f
		}
	case linked:
		if f := names[s.path]; f != nil {
			names[s.to] = f
		}
	case renamed:
		if f := names[s.path]; f != nil {
			names[s.to] = f
			delete(names, s.path)
		}
	case unlinked:
		delete(names, s.path)
	}
}

// applied returns content with changes made. It does not change its arguments.
func applied(content []byte, changes []step) []byte {
	content = bytes.Clone(content)
	for _, c := range changes {
		end := c.size
		if c.kind == wrote {
			end = max(int64(len(content)), c.offset+int64(len(c.data)))
		}
		if int64(len(content)) < end {
			content = append(content, make([]byte, end-int64(len(content)))...)
		}
		content = content[:end]
		copy(content[min(c.offset, end):], c.data)
	}
	return content
}

// cut writes into a folder what a power cut could have left. from is the folder
// that the process has worked in.
func (d *disk) cut(t *testing.T, random *rand.Rand, from, to string) {
	t.Helper()
	names := maps.Clone(d.names)
	// Journals keep the order of names: some first part has reached the disk.
	for _, s := range d.pending[:random.IntN(len(d.pending)+1)] {
		rename(names, d.everSeen(), s)
	}
	for name, f := range names {
		path := to + name[len(from):]
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, applied(f.durable, torn(random, f.pending)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// everSeen is where the files of pending names are found: a file that was
// created, linked and unlinked is still there under its other name.
func (d *disk) everSeen() map[string]*diskFile {
	seen := maps.Clone(d.current)
	for _, s := range d.pending {
		if s.kind == linked || s.kind == renamed {
			if f := seen[s.to]; f != nil && seen[s.path] == nil {
				seen[s.path] = f
			}
		}
	}
	return seen
}

// torn returns the part of changes that has reached the disk: none, all, some
// of them, or some sectors of some.
func torn(random *rand.Rand, changes []step) (kept []step) {
	how := random.IntN(4)
	for _, c := range changes {
		switch {
		case how == 1, how > 1 && random.IntN(2) == 0:
			kept = append(kept, c)
		case how == 3 && c.kind == wrote:
			for at := 0; at < len(c.data); at += sector {
				if random.IntN(2) == 0 {
					part := c
					part.offset += int64(at)
					part.data = c.data[at:min(at+sector, len(c.data))]
					kept = append(kept, part)
				}
			}
		}
	}
	return kept
}
