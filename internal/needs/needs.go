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
	if Required(part) {
		t.Fatalf("%s is required (%s) and is not here", part, Require)
	}
	t.Skipf("SKIPPED: %s is not on this machine", part)
}

// Required says whether SLIPWAY_REQUIRE names a part.
func Required(part string) bool {
	return slices.Contains(strings.Split(os.Getenv(Require), ","), part)
}

// Sample is every nth case of a test that has too many for go test's ten
// minutes on a small machine, and says so. Where SLIPWAY_REQUIRE names the part
// it is all of them.
func Sample[T any](t testing.TB, part string, n int, cases []T) []T {
	t.Helper()
	if Required(part) {
		return cases
	}
	var some []T
	for i := 0; i < len(cases); i += n {
		some = append(some, cases[i])
	}
	t.Logf("SKIPPED: %d of %d cases: %s=%s runs them all", len(cases)-len(some), len(cases), Require, part)
	return some
}

// Program is Part for a program on PATH, which names the part. It returns the
// program's path.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	Part(t, name, err == nil)
	return path
}
