// Command shell stands in for /bin/sh in the images that tests build: nothing
// can be pulled where they run. It knows a few commands, which RUN gives it.
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sh -c COMMAND")
		os.Exit(2)
	}
	if err := run(strings.Fields(os.ExpandEnv(os.Args[2]))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string) error {
	switch words[0] {
	case "write": // write FILE TEXT…
		return write(words[1], strings.Join(words[2:], " "))
	case "sum": // sum FILE INTO
		raw, err := os.ReadFile(words[1])
		if err != nil {
			return err
		}
		return write(words[2], fmt.Sprintf("%x", sha256.Sum256(raw)))
	case "show": // show FILE
		raw, err := os.ReadFile(words[1])
		if err != nil {
			return err
		}
		fmt.Printf("the file says: %s\n", raw)
		return nil
	case "fail": // fail CODE TEXT…
		for i := range 50 {
			fmt.Fprintln(os.Stderr, "line", i)
		}
		fmt.Fprintln(os.Stderr, strings.Join(words[2:], " "))
		code, err := strconv.Atoi(words[1])
		if err == nil {
			os.Exit(code)
		}
		return err
	case "forever":
		for {
			fmt.Println("still at it")
			time.Sleep(50 * time.Millisecond)
		}
	}
	return fmt.Errorf("there is no command %q", words[0])
}

func write(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}
