package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/process"
)

// shownOutput is how many of a failed step's last lines its error has.
const shownOutput = 20

var exitCode = regexp.MustCompile(`exit code: \d+`)

// explain says why a build failed: which step, with its own last words, or
// what the client could not do. op names the engine.
func (s *steps) explain(op, program string, err error) error {
	var f *failure
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, process.ErrNotFound), errors.Is(err, fs.ErrPermission):
		return missing(op, program, err)
	case !errors.As(err, &f):
		return &delivery.Error{Kind: delivery.KindFailed, Op: op, Err: err}
	}
	if s.failed != nil && exitCode.MatchString(s.failed.err) {
		return s.failed.explain(op)
	}
	if s.failed != nil {
		return explainSaid(op, program, s.failed.err, fmt.Errorf("step %s", s.failed.name))
	}
	return explainSaid(op, program, s.said.String(), f.err)
}

// explain is the error of a command that a step ran.
func (p *progressStep) explain(op string) error {
	output := strings.TrimSpace(p.output.String())
	e := &delivery.Error{Kind: delivery.KindFailed, Op: op, Err: fmt.Errorf("step %s failed: %s\n%s", p.name,
		exitCode.FindString(p.err), lastLines(output, shownOutput))}
	if output == "" {
		e.Err = fmt.Errorf("step %s failed: %s, without a word", p.name, exitCode.FindString(p.err))
	}
	switch {
	case strings.Contains(output+p.err, "exec format error"):
		e.Hints = emulation()
	case strings.HasSuffix(p.err, "exit code: 137"):
		e.Hints = []string{"it was killed: the builder's machine may have too little memory"}
	}
	return e
}

func emulation() []string {
	return []string{
		"the builder can't run programs of this platform: build on a machine of its own kind (GitHub: ubuntu-24.04-arm)",
		"or register an emulator there: docker run --privileged --rm tonistiigi/binfmt --install arm64"}
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	if len(lines) > n {
		lines = append([]string{"…"}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}

// missing is the error of a program that is not there.
func missing(op, program string, err error) error {
	hint := "install Docker and put docker on PATH; without a daemon, build.engine: go builds agents written in Go"
	if program == "buildctl" {
		hint = "install BuildKit's client buildctl and put it on PATH: https://github.com/moby/buildkit/releases"
	}
	return &delivery.Error{Kind: delivery.KindConfig, Op: op,
		Err: fmt.Errorf("the engine needs %s: %w", program, err), Hints: []string{hint}}
}

// complaint is a text by which docker, buildx, buildctl or BuildKit say what
// is wrong outside the Dockerfile's own commands.
type complaint struct {
	says  string // a regular expression
	kind  delivery.Kind
	hints []string
}

// complaints are the texts of Docker 20.10 and 28, buildx 0.38, and BuildKit
// 0.8 (inside Docker 20.10) and 0.34. The first that fits counts.
func complaints(program string) []complaint {
	reach := []string{"is the daemon running? docker version tells; DOCKER_HOST and docker context say which one is asked"}
	if program == "buildctl" {
		reach = []string{"is buildkitd running there? buildctl debug workers tells",
			"build.address in slipway.yaml says where, else BUILDKIT_HOST"}
	}
	return []complaint{
		{`dial unix \S+: connect: permission denied|permission denied while trying to connect`, delivery.KindUnavailable,
			[]string{"this user may not use the daemon's socket: docker's is for the group docker"}},
		{`[Cc]annot connect to the Docker daemon|failed to connect to the docker API|error during connect|` +
			`failed to dial gRPC|failed to list workers|connection error: desc|listing workers for Build`,
			delivery.KindUnavailable, reach},
		{`error reading from server|transport is closing|unexpected EOF|rpc error: code = Unavailable`, delivery.KindUnavailable,
			[]string{"the daemon ended in the middle of the build: its log says why"}},
		{`buildx component is missing or broken`, delivery.KindConfig,
			[]string{"this docker builds through its plugin buildx: install docker-buildx-plugin"}},
		{`(?:Cache export|OCI exporter|docker exporter).*not (?:currently )?supported`, delivery.KindConfig,
			[]string{"the builder inside Docker's daemon has no cache_to but type=inline",
				"create another builder, docker buildx create --use, or set build.engine: buildkit"}},
		{`no builder "?[^"]*"? found|failed to find builder`, delivery.KindConfig,
			[]string{"docker buildx ls lists the builders; BUILDX_BUILDER names one"}},
		{`target stage .* could not be found`, delivery.KindConfig,
			[]string{"build.target in slipway.yaml names a stage of the Dockerfile: FROM … AS NAME"}},
		{`exec format error`, delivery.KindFailed, emulation()},
		{`secret [^:]+: not found|secret .* not found|failed to find secret`, delivery.KindConfig,
			[]string{"build.secrets in slipway.yaml has to name it: secrets: {ID: {env: VARIABLE}}"}},
		{`pull access denied|insufficient_scope|authorization failed|no basic auth credentials|` +
			`401 Unauthorized|403 Forbidden`, delivery.KindFailed,
			[]string{"the base image or cache needs a login: docker login REGISTRY before slipway",
				"children see no AWS credentials, so no credential helper that needs them works"}},
		{`failed to resolve source metadata|failed to do request|no such host|i/o timeout`, delivery.KindFailed,
			[]string{"the daemon, not this machine, fetches base images: it has to reach the registry"}},
	}
}

// explainSaid sorts a failure by the client's words.
func explainSaid(op, program, said string, err error) error {
	said = strings.TrimSpace(said)
	e := &delivery.Error{Kind: delivery.KindFailed, Op: op, Err: err}
	if said == "" {
		return e
	}
	between := ": "
	if strings.Contains(said, "\n") {
		between = "\n"
	}
	e.Err = fmt.Errorf("%w%s%s", err, between, lastLines(said, shownOutput))
	for _, c := range complaints(program) {
		if regexp.MustCompile(c.says).MatchString(said) {
			e.Kind, e.Hints = c.kind, c.hints
			return e
		}
	}
	return e
}
