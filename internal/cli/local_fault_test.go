package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/sim"
)

// TestFaultExamples runs every example of the help of `local fault`, as it
// stands there.
func TestFaultExamples(t *testing.T) {
	a := &app{System: System{Dir: t.TempDir()}}
	a.ui = newUI(a)
	c, err := a.startCloud(t.Context(), t.TempDir(), "127.0.0.1:0", 0, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Error(err)
		}
	})
	fault, _, err := a.root().Find([]string{"local", "fault"})
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, cmd := range append([]*cobra.Command{fault}, fault.Commands()...) {
		for line := range strings.Lines(cmd.Example) {
			// Which cloud is meant is the one thing that a reader need not say.
			args := append(fields(strings.TrimPrefix(strings.TrimSpace(line), "slipway ")), "--state", c.Dir)
			if strings.HasSuffix(strings.TrimSpace(line), "clear f2") {
				for range 2 {
					if _, err := c.AddFault(sim.Fault{Service: "*", Operation: "*", Effect: sim.EffectHang}); err != nil {
						t.Fatal(err)
					}
				}
				args[3] = c.Faults()[0].ID
			}
			var out, messages bytes.Buffer
			code := Main(t.Context(), args, System{In: strings.NewReader(""), Out: &out, Err: &messages, Dir: t.TempDir()})
			if code != 0 {
				t.Errorf("%s: exit %d\n%s", strings.TrimSpace(line), code, messages.String())
			}
			ran++
		}
	}
	if ran < 8 {
		t.Errorf("%d examples were run", ran)
	}
}
