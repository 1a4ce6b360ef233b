package delivery

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// spooling is the world's builder, whose images keep something until they are
// closed.
type spooling struct {
	*world
	closed []int // how many calls the world had seen by then
}

type spooledImage struct {
	*fakeImage
	of *spooling
}

func (i spooledImage) Close() error {
	i.of.closed = append(i.of.closed, len(i.of.ledger))
	return nil
}

func (b *spooling) Build(ctx context.Context, req BuildRequest) (Image, error) {
	req.Progress("a line")
	req.Step(BuildStep{Name: "#1 RUN make", Done: true, Cached: true})
	img, err := b.world.Build(ctx, req)
	if err != nil {
		return nil, err
	}
	return spooledImage{img.(*fakeImage), b}, nil
}

// TestSpooledImage: what a build keeps is let go of once, when the run has
// ended, however it ended.
func TestSpooledImage(t *testing.T) {
	failing := func(name string) func(*world) context.Context {
		return func(w *world) context.Context {
			w.before[name] = func(context.Context, int) error { return errors.New("broken") }
			return context.Background()
		}
	}
	for name, test := range map[string]struct {
		prepare func(*world) context.Context
		exit    int
		closed  int
	}{
		"deployed":    {func(*world) context.Context { return context.Background() }, 0, 1},
		"no login":    {failing("Login"), 2, 0},
		"build fails": {failing("Build"), 1, 0},
		"push fails":  {failing("Push"), 1, 1},
		"interrupted": {func(w *world) context.Context { return w.interruptAfter("Push", 1) }, 130, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				d, o := w.deliverer("one")
				b := &spooling{world: w}
				d.Builder = b
				_, err := d.Deploy(test.prepare(w), commit("b"))
				if ExitCode(err) != test.exit || len(b.closed) != test.closed {
					t.Fatalf("exit %d, closed %d times, want %d and %d: %v", ExitCode(err), len(b.closed), test.exit, test.closed, err)
				}
				if test.closed > 0 && b.closed[0] != len(w.ledger) {
					t.Errorf("closed after %d calls of %d: %v", b.closed[0], len(w.ledger), w.ledger)
				}
				if told := o.told(BuildOutput, "a line"); told != (name != "no login") {
					t.Errorf("the build's output was told: %v", told)
				}
			})
		})
	}
}

// TestBuildInterrupted: building alone says so too, by its exit code.
func TestBuildInterrupted(t *testing.T) {
	w := newWorld(t)
	d, _ := w.deliverer("one")
	b := &spooling{world: w}
	d.Builder = b
	_, err := d.Build(w.interruptAfter("Build", 1), commit("b"), false)
	if ExitCode(err) != 130 || len(b.closed) != 1 {
		t.Errorf("exit %d, closed %d times: %v", ExitCode(err), len(b.closed), err)
	}
}
