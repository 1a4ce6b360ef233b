package cli

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/needs"
)

// TestManyAtOnce lets two, then eight runs deploy different commits at the same
// moment with the real program, round after round: one wins whole, the others
// exit 5, or win in their turn. The end is one of them whole. Plain go test
// does without the named endpoint.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	for _, of := range needs.Sample(t, "matrix", 2, []struct {
		live   bool
		rounds []int
	}{{false, []int{2, 8}}, {true, []int{8}}}) {
		w := newKnockWorld(t, of.live)
		clones := map[int]string{}
		for i, n := range of.rounds {
			seed := uint64(10*n + i)
			t.Run(fmt.Sprintf("%d behind %s, seed %d", n, w.endpoint(), seed), func(t *testing.T) { w.race(t, n, seed, clones) })
		}
	}
}

// delays makes some calls take their time, others than with another seed, so
// that the runs meet elsewhere.
func (w *knockWorld) delays(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	calls := []string{opParam, opPut, opDelete, opGet, opEndpoint, opUpdate, opInvoke, opResolve, opManifest, opLogin}
	for range 4 {
		w.setFault(t, fmt.Sprintf("%s --latency %dms --skip %d --times 3", calls[r.IntN(len(calls))], 1+r.IntN(150), r.IntN(4)))
	}
}

// race deploys n commits at once, each from a work tree of its own.
func (w *knockWorld) race(t *testing.T, n int, seed uint64, clones map[int]string) {
	before := w.standing(t)
	revisions := map[string]bool{}
	ends := make([]ended, n)
	waits := make([]func() ended, n)
	for i := range n {
		revision := w.change(t)
		revisions[revision] = true
		mine := *w.demo
		mine.repo = w.clone(t, clones, i, revision)
		one := *w
		one.demo = &mine
		env, err := w.job(t.Context(), "acme/agents", "dev") // a run of its own
		if err != nil {
			t.Fatal(err)
		}
		// The image is there already, so that the runs meet at the lock and
		// not at the compiler.
		if _, out, err := mine.slipway(t.Context(), env, "build", "--env", "dev", "--push", "--yes"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		waits[i] = func() ended { return one.deploy(t, env) }
	}
	w.delays(t, seed)
	var group sync.WaitGroup
	for i := range waits {
		group.Go(func() { ends[i] = waits[i]() })
	}
	group.Wait()
	w.clear(t, false)
	won, last := 0, 0
	for _, o := range ends {
		switch o.code {
		case 0:
			won++
		case 5:
			last++
			if !strings.Contains(o.stderr, "has held it since") && !strings.Contains(o.stderr, "another deployment") {
				t.Errorf("it does not say who won\n%s", o.stderr)
			}
		default:
			t.Errorf("exit %d\n%s", o.code, o.stderr)
		}
	}
	now := w.standing(t)
	t.Logf("%d won, %d exited 5; version %d after %d", won, last, now.newest, before.newest)
	r := now.release
	if won == 0 || !revisions[r.Revision] || r.Verdict != delivery.Passed || now.digest != r.Digest || now.latest != r.Digest ||
		now.version != r.Version || now.lock != nil {
		t.Errorf("the end is not one of them whole: %+v", now)
	}
	if made := now.newest - before.newest; made != won {
		t.Errorf("%d versions were made by %d that won", made, won)
	}
}

// clone is the ith work tree, with a revision checked out.
func (w *knockWorld) clone(t *testing.T, clones map[int]string, i int, revision string) string {
	t.Helper()
	if clones[i] == "" {
		dir, err := os.MkdirTemp(filepath.Dir(w.repo), "clone-")
		if err != nil {
			t.Fatal(err)
		}
		clones[i] = dir
		if _, err := w.git(t.Context(), "clone", "--quiet", w.repo, dir); err != nil {
			t.Fatal(err)
		}
	}
	in := *w.demo
	in.repo = clones[i]
	if _, err := in.git(t.Context(), "fetch", "--quiet", "origin"); err != nil {
		t.Fatal(err)
	}
	if _, err := in.git(t.Context(), "checkout", "--quiet", "--detach", revision); err != nil {
		t.Fatal(err)
	}
	return clones[i]
}
