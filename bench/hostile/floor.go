//go:build unix

package main

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io"
	"os"
	"time"
)

// printFloors prints the minimum cost of a body of 25 MiB on this machine: writing
// it to a temporary file, reading it back, hashing it.
func printFloors() {
	body := bytes.Repeat([]byte("0123456789abcdef"), 25<<20/16)
	fmt.Printf("\nThe least that this machine needs for 25 MiB, of which 30 ms are allowed\n\n")
	for _, floor := range []struct {
		name string
		run  func() error
	}{
		{"temporary file", func() error { return throughFile(body) }},
		{"SHA-1", func() error { sha1.Sum(body); return nil }},
		{"SHA-256", func() error { sha256.Sum256(body); return nil }},
		{"SHA-512 (Ed25519 too)", func() error { sha512.Sum512(body); return nil }},
		{"MD5", func() error { md5.Sum(body); return nil }},
	} {
		least := time.Hour
		var err error
		for range repeats {
			start := cpuTime()
			err = floor.run()
			least = min(least, cpuTime()-start)
		}
		if err != nil {
			fmt.Printf("%-26s %v\n", floor.name, err)
			continue
		}
		fmt.Printf("%-26s %10s\n", floor.name, least.Round(10*time.Microsecond))
	}
}

// throughFile copies a body to a temporary file and back.
func throughFile(body []byte) error {
	f, err := os.CreateTemp("", "hostile-*")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for r := bytes.NewReader(body); ; {
		n, err := r.Read(buf)
		if err == io.EOF {
			break
		}
		if _, err := f.Write(buf[:n]); err != nil {
			return err
		}
	}
	for at := int64(0); at < int64(len(body)); at += int64(len(buf)) {
		if _, err := f.ReadAt(buf, at); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}
