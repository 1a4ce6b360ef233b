package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
)

func TestFindCheckout(t *testing.T) {
	const address = "https://user:secret@github.com/acme/agents.git"
	for name, test := range map[string]struct {
		commands [][]string
		want     Checkout
	}{
		"no remote": {nil, Checkout{}},
		"origin":    {[][]string{{"remote", "add", "origin", address}}, Checkout{Remote: address}},
		"the only one": {[][]string{{"remote", "add", "upstream", "git@github.com:acme/agents"}},
			Checkout{Remote: "git@github.com:acme/agents"}},
		"origin of several": {[][]string{{"remote", "add", "a", "x"}, {"remote", "add", "origin", address}, {"remote", "add", "b", "y"}}, Checkout{Remote: address}},
		"several":           {[][]string{{"remote", "add", "a", "x"}, {"remote", "add", "b", "y"}}, Checkout{}},
		"a name like a flag": {[][]string{{"config", "remote.--all.url", "git@github.com:acme/agents"}},
			Checkout{Remote: "git@github.com:acme/agents"}},
		"two addresses": {[][]string{{"remote", "add", "origin", address}, {"config", "--add", "remote.origin.url", "file:///elsewhere"}}, Checkout{Remote: address}},
		"its HEAD": {[][]string{{"remote", "add", "origin", address}, {"symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/release/1.x"}},
			Checkout{Remote: address, Branch: "release/1.x"}},
		"rewritten": {[][]string{{"remote", "add", "origin", "gh:acme/agents"}, {"config", "url.https://github.com/.insteadOf", "gh:"}},
			Checkout{Remote: "https://github.com/acme/agents"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, map[string]string{"sub/file": ""})
			gitIn(t, root, "init", "-q")
			for _, args := range test.commands {
				gitIn(t, root, args...)
			}
			test.want.Root = root
			got, err := FindCheckout(t.Context(), filepath.Join(root, "sub"), offered())
			if err != nil || got != test.want {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, test.want)
			}
		})
	}
}

func TestNoCheckout(t *testing.T) {
	plain := tree(t, nil)
	_, err := FindCheckout(t.Context(), plain, offered())
	if delivery.KindOf(err) != delivery.KindSource || !strings.Contains(err.Error(), "not in a git repository") {
		t.Errorf("%v, want KindSource", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FindCheckout(ctx, plain, os.Environ()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}
