// Package synth runs cdk synth as a job without credentials would: with no
// variable of AWS's, no lookups, and no network where the machine lets it take
// that away.
//
// It runs the program that the app has installed and refuses to fetch one. It
// leaves the work tree's cdk.out alone: the assembly goes to a folder that is
// gone afterwards. An app may still write elsewhere, as its build does.
package synth

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/cdk"
	"github.com/slipway-cd/slipway/internal/process"
)

// Synth runs the app of a folder.
type Synth struct {
	Dir string
	Env []string
	// Network leaves the network in reach, as where it can't be taken away.
	Network bool
}

// Error is a synth that failed, with the end of what it said.
type Error struct {
	Err    error
	Output string
}

// Error says that it failed, and its last line.
func (e *Error) Error() string {
	lines := strings.Split(strings.TrimSpace(e.Output), "\n")
	return fmt.Sprintf("cdk synth: %v: %s", e.Err, strings.TrimSpace(lines[len(lines)-1]))
}

// Unwrap is how the program ended.
func (e *Error) Unwrap() error { return e.Err }

// lingering is how long a killed program's pipes may stay open.
const lingering = 5 * time.Second

// mostOutput is how much is kept of what the program says.
const mostOutput = 16 << 10

// Run synthesises the app. Where lookups are missing, the assembly says which,
// and the error is what CDK says of it. Without npx the error is
// cdk.ErrNoProgram, where the program fails an *Error.
func (s Synth) Run(ctx context.Context) (cdk.Assembly, error) {
	program, err := process.Find(s.Env, "npx")
	if err != nil {
		return cdk.Assembly{}, fmt.Errorf("%w: %w", cdk.ErrNoProgram, err)
	}
	out, err := os.MkdirTemp("", "slipway-cdk-")
	if err != nil {
		return cdk.Assembly{}, fmt.Errorf("making a folder for the assembly: %w", err)
	}
	defer func() { _ = os.RemoveAll(out) }()
	isolated := !s.Network && canIsolate(ctx)
	failure := s.run(ctx, program, out, isolated)
	if ctx.Err() != nil {
		return cdk.Assembly{}, ctx.Err()
	}
	assembly, err := cdk.ReadAssembly(os.DirFS(out))
	assembly.Isolated = isolated
	if failure != nil {
		return assembly, failure // without an assembly there is more to it than lookups
	}
	return assembly, err
}

func (s Synth) run(ctx context.Context, program, out string, isolated bool) error {
	// AWS CDK CLI reference: cdk synth, global options. What it has installed is
	// npx's to find; --no-install keeps it from asking the registry.
	cmd := exec.CommandContext(ctx, program, "--no-install", "cdk", "synth", "--quiet", "--no-lookups",
		"--no-notices", "--output", out)
	cmd.Dir, cmd.Env, cmd.WaitDelay = s.Dir, clean(s.Env), lingering
	process.OwnGroup(cmd)
	if isolated {
		isolate(cmd)
	}
	var said tail
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return &Error{Err: err, Output: string(said)}
	}
	return nil
}

// clean is an environment that knows nothing of AWS and can't reach it: what a
// program might find by itself, files and the metadata service, is out of reach
// too.
func clean(env []string) []string {
	const nowhere = "http://127.0.0.1:1" // nobody listens on port 1
	cleaned := slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "CDK_DEFAULT_") || strings.HasPrefix(name, "ACTIONS_ID_TOKEN_")
	})
	return append(cleaned, "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"AWS_ENDPOINT_URL="+nowhere, "CDK_DISABLE_CLI_TELEMETRY=true", "CDK_DISABLE_VERSION_CHECK=1", "npm_config_offline=true", "npm_config_update_notifier=false")
}

// tail keeps the end of what is written to it.
type tail []byte

// Write never fails: a program must not be stopped by its reader.
func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if over := len(*t) - mostOutput; over > 0 {
		*t = append(tail(nil), (*t)[over:]...)
	}
	return len(p), nil
}
