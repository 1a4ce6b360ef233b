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
	"strconv"
	"strings"
	"testing"
)

// Require lists, separated by commas, the parts that must be there.
const Require = "SLIPWAY_REQUIRE"

// Share is K/N where a run takes the K-th of N shares of what a required part
// has too many cases of: N runs with K from 1 to N take them all.
const Share = "SLIPWAY_SHARE"

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

// Whole says whether all cases of a part are taken: SLIPWAY_REQUIRE names it,
// and SLIPWAY_SHARE does not divide it.
func Whole(part string) bool { return Required(part) && os.Getenv(Share) == "" }

// Sample is every nth case of a test that has too many for go test's ten
// minutes on a small machine, and says so. Where SLIPWAY_REQUIRE names the part
// it is all of them, or the share that SLIPWAY_SHARE asks for.
func Sample[T any](t testing.TB, part string, n int, cases []T) []T {
	t.Helper()
	if Whole(part) {
		return cases
	}
	first := 0
	if Required(part) {
		first, n = share(t, os.Getenv(Share))
	}
	var some []T
	for i := first; i < len(cases); i += n {
		some = append(some, cases[i])
	}
	t.Logf("SKIPPED: %d of %d cases: %s=%s without %s runs them all", len(cases)-len(some), len(cases), Require, part, Share)
	return some
}

// share reads K/N: where to begin, and how far it is to the next case.
func share(t testing.TB, text string) (first, step int) {
	t.Helper()
	k, n, _ := strings.Cut(text, "/")
	first, err := strconv.Atoi(k)
	step, wrong := strconv.Atoi(n)
	if err != nil || wrong != nil || first < 1 || first > step {
		t.Fatalf("%s=%s is not K/N with K from 1 to N", Share, text)
	}
	return first - 1, step
}

// Program is Part for a program on PATH, which names the part. It returns the
// program's path.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	Part(t, name, err == nil)
	return path
}
