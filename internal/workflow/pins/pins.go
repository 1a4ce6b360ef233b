// Package pins knows which commit is which version of the actions that
// generated workflows use, or that workflows of this kind often have: GitHub's
// own and AWS's.
//
// The table is pins.txt, a line for each release: action, tag, commit. Each
// commit was taken from a copy of the action's own repository, by
//
//	git rev-parse "$TAG^{commit}"
//
// It refuses to tell of anything else: a commit that it does not know may be
// any version, or none.
package pins

import (
	_ "embed" // the table
	"slices"
	"strings"
)

//go:embed pins.txt
var table string

// Pin is one release of an action.
type Pin struct {
	Action  string // owner/name
	Version string // its tag: v7.0.1
	SHA     string // its commit, 40 hex digits
}

// Uses is the pin as a step's uses: has it, without the comment that tells the
// version.
func (p Pin) Uses() string { return p.Action + "@" + p.SHA }

// Lookup returns the newest release of an action that is known, which is the
// one that generated workflows use.
func Lookup(action string) (Pin, bool) {
	all := releases(action)
	if len(all) == 0 {
		return Pin{}, false
	}
	return all[len(all)-1], true
}

// Version says which release of an action a commit is. The action may name a
// directory of its repository, as actions/cache/restore does.
func Version(action, sha string) (version string, known bool) {
	for _, p := range releases(action) {
		if p.SHA == strings.ToLower(sha) {
			return p.Version, true
		}
	}
	return "", false
}

// Actions lists the actions of which releases are known.
func Actions() []string {
	var names []string
	for line := range strings.Lines(table) {
		if name, _, _ := strings.Cut(line, " "); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// releases are those of an action, the oldest first. GitHub's names have no
// case.
func releases(action string) []Pin {
	if parts := strings.SplitN(action, "/", 3); len(parts) == 3 {
		action = parts[0] + "/" + parts[1]
	}
	var all []Pin
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); strings.EqualFold(f[0], action) {
			all = append(all, Pin{f[0], f[1], f[2]})
		}
	}
	return all
}
