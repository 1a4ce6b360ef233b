// Package needs lets tests ask for the real parts of the machine that they
// judge Slipway with: docker, skopeo, the AWS CLI.
//
// A part that is missing skips the test, loudly, unless SLIPWAY_REQUIRE names
// it: CI installs what it names, so there a missing part is a failure. Nothing
// but tests imports it.
package needs

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Require lists, separated by commas, the parts that must be there.
const Require = "SLIPWAY_REQUIRE"

// Part skips the test where a part is not there, or fails it where
// SLIPWAY_REQUIRE names the part.
func Part(t testing.TB, part string, there bool) {
	t.Helper()
	if there {
		return
	}
	if slices.Contains(strings.Split(os.Getenv(Require), ","), part) {
		t.Fatalf("%s is required (%s) and is not here", part, Require)
	}
	t.Skipf("SKIPPED: %s is not on this machine", part)
}

// Program is Part for a program on PATH, which names the part. It returns the
// program's path.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	Part(t, name, err == nil)
	return path
}
